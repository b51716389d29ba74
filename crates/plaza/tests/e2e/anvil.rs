//! A chain of somebody else's: anvil, behind a cable that can be pulled.
//!
//! Where it is not installed the tests say so and pass over: `npm ci` in `contracts` brings it,
//! `PLAZA_ANVIL` names another.

use std::{
    io::{self, BufRead as _, BufReader},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use serde_json::Value;

use crate::house::ask;

/// The key of the first account that it makes rich.
pub(crate) const RICH: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";

/// That account.
pub(crate) const RICH_ACCOUNT: &str = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";

/// A node of the test's own, which seals a block every second.
pub(crate) struct Anvil {
    process: Child,
    direct: String,
    url: String,
    pulled: Arc<AtomicBool>,
}

impl Drop for Anvil {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to do.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Anvil {
    /// `None`, with the reason printed, where there is none.
    #[expect(clippy::print_stdout, reason = "a test that passes over says why")]
    pub(crate) fn start() -> Option<Self> {
        let usual = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../contracts/node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil"
        );
        let named = std::env::var_os("PLAZA_ANVIL").map(PathBuf::from);
        let program = named.clone().unwrap_or_else(|| usual.into());
        if named.is_none() && !program.exists() {
            println!("passed over: there is no anvil; npm ci in contracts brings it");
            return None;
        }
        let mut process = Command::new(program)
            .args(["--port", "0", "--block-time", "1"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("anvil starts");
        let mut said = BufReader::new(process.stdout.take().expect("it is piped")).lines();
        let address: SocketAddr = loop {
            let line = said.next().expect("it says where it listens").expect("UTF-8");
            if let Some(address) = line.strip_prefix("Listening on ") {
                break address.parse().expect("an address");
            }
        };
        thread::spawn(move || said.for_each(drop));
        let pulled = Arc::new(AtomicBool::new(false));
        let near = cable(address, pulled.clone()).expect("a cable to it");
        let (direct, url) = (format!("http://{address}"), format!("http://{near}"));
        Some(Self { process, direct, url, pulled })
    }

    /// Where it is reached through the cable.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Where it is reached past the cable.
    pub(crate) fn direct(&self) -> &str {
        &self.direct
    }

    /// Ask it past the cable.
    pub(crate) fn ask(&self, method: &str, params: Value) -> Value {
        ask(&self.direct, method, params)
    }

    /// Pull the cable, or put it back.
    pub(crate) fn pull(&self, pulled: bool) {
        self.pulled.store(pulled, Ordering::SeqCst);
    }
}

/// Carry what comes at a port of our own to `far` and back, but not while it is pulled.
fn cable(far: SocketAddr, pulled: Arc<AtomicBool>) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let near = listener.local_addr()?;
    thread::spawn(move || {
        for here in listener.incoming().flatten() {
            if let Ok(there) = TcpStream::connect(far)
                && let (Ok(from), Ok(to)) = (here.try_clone(), there.try_clone())
            {
                let (one, other) = (pulled.clone(), pulled.clone());
                thread::spawn(move || carry(&from, &to, &one));
                thread::spawn(move || carry(&there, &here, &other));
            }
        }
    });
    Ok(near)
}

fn carry(mut from: &TcpStream, mut to: &TcpStream, pulled: &AtomicBool) {
    let mut bytes = [0; 16_384];
    while let Ok(count @ 1..) = io::Read::read(&mut from, &mut bytes) {
        if pulled.load(Ordering::SeqCst) || io::Write::write_all(&mut to, &bytes[..count]).is_err()
        {
            break;
        }
    }
    // The other end may be gone already.
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
