//! Graphics processors held for one run: no two runs of this machine hold the same one.
//!
//! Upon a claim: a name in the kernel (an abstract socket, unix(7)) is taken for each, which nobody
//! else can take while this process lives and which goes with it, however it ends. Upon too few
//! free ones: whoever has just ended gets the moment it needs.

use std::{
    io::{self, ErrorKind},
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
    path::Path,
    thread::sleep,
    time::Duration,
};

use crate::{graphics::Graphics, stopwatch::monotonic};

/// How long a shim whose run is over may take to be gone.
const PARTING: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_millis(20);

/// Graphics processors that are ours while this lives.
pub(super) struct Claim {
    held: Vec<(u32, UnixDatagram)>,
}

impl Claim {
    /// Claim so many of `graphics`; whichever are free.
    pub(super) fn take(graphics: &Graphics, wanted: usize) -> io::Result<Self> {
        let until = monotonic() + PARTING;
        loop {
            let mut held = Vec::new();
            for node in graphics.nodes() {
                if held.len() == wanted {
                    break;
                }
                if let Some(name) = hold(&graphics.device(node))? {
                    held.push((node, name));
                }
            }
            if held.len() == wanted {
                return Ok(Self { held });
            }
            if monotonic() >= until {
                let free = held.len();
                return Err(io::Error::other(format!(
                    "{free} graphics processors are free of {wanted} that were reserved"
                )));
            }
            drop(held);
            sleep(AGAIN);
        }
    }

    /// Which ones, by the numbers of their device files.
    pub(super) fn nodes(&self) -> impl Iterator<Item = u32> {
        self.held.iter().map(|(node, _)| *node)
    }
}

/// The name of a device, or `None` when somebody else holds it.
fn hold(device: &Path) -> io::Result<Option<UnixDatagram>> {
    let name = [b"plaza".as_slice(), device.as_os_str().as_bytes()].concat();
    let address = SocketAddr::from_abstract_name(name)?;
    match UnixDatagram::bind_addr(&address) {
        Ok(held) => Ok(Some(held)),
        Err(error) if error.kind() == ErrorKind::AddrInUse => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_holds_nobody_else_gets_until_it_is_let_go() {
        let folder = tempfile::tempdir().expect("a folder");
        let graphics = Graphics::under(folder.path(), [0, 3, 5]);
        let nodes = |claim: &Claim| claim.nodes().collect::<Vec<_>>();
        let first = Claim::take(&graphics, 2).expect("all are free");
        assert_eq!(nodes(&first), [0, 3]);
        let second = Claim::take(&graphics, 1).expect("one is free");
        assert_eq!(nodes(&second), [5]);
        drop(first);
        let third = Claim::take(&graphics, 1).expect("two are free");
        assert_eq!(nodes(&third), [0]);
        assert_eq!(nodes(&Claim::take(&graphics, 0).expect("none are wanted")), [0; 0]);
    }
}
