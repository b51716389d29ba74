//! A wire between two peers that can be cut, or go silent without a word.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinHandle,
};

/// Forwards every TCP connection to one address.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    silent: watch::Sender<bool>,
    wires: Arc<Mutex<Vec<JoinHandle<()>>>>,
    listening: JoinHandle<()>,
}

impl Proxy {
    pub(crate) async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let silent = watch::Sender::new(false);
        let wires: Arc<Mutex<Vec<JoinHandle<()>>>> = Arc::default();
        let (hear, kept) = (silent.clone(), Arc::clone(&wires));
        let listening = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let wire = tokio::spawn(forward(near, target, hear.subscribe()));
                kept.lock().expect("no panic").push(wire);
            }
        });
        Self { address, silent, wires, listening }
    }

    /// Close every connection there is now.
    pub(crate) fn cut(&self) {
        self.wires.lock().expect("no panic").drain(..).for_each(|wire| wire.abort());
    }

    /// Deliver nothing more, in either direction, while every connection stays open.
    pub(crate) fn go_silent(&self) {
        self.silent.send_replace(true);
    }

    /// Deliver again.
    pub(crate) fn speak(&self) {
        self.silent.send_replace(false);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listening.abort();
        self.cut();
    }
}

async fn forward(near: TcpStream, target: SocketAddr, silent: watch::Receiver<bool>) {
    let Ok(far) = TcpStream::connect(target).await else { return };
    near.set_nodelay(true).expect("a socket");
    far.set_nodelay(true).expect("a socket");
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    tokio::select! {
        () = copy(near_read, far_write, silent.clone()) => {}
        () = copy(far_read, near_write, silent) => {}
    }
}

async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut silent: watch::Receiver<bool>) {
    let mut piece = vec![0; 16 << 10];
    while let Ok(size @ 1..) = from.read(&mut piece).await {
        if silent.wait_for(|silent| !silent).await.is_err() {
            return;
        }
        if to.write_all(&piece[..size]).await.is_err() {
            return;
        }
    }
}
