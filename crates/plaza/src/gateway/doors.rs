//! Where a network of this machine listens. Ports are kept, so that who knew it finds it again.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::Arc,
};

use net::{Peers, TransportKey};
use tokio::net::TcpListener;

use crate::{
    failure::{Doing as _, Result},
    folder,
};

/// Listen for providers: at the address asked for, else at the former one, else at loopback. A port
/// that is taken by now gives way to any.
pub(crate) async fn for_providers(
    place: &Path,
    asked: Option<SocketAddr>,
    key: &TransportKey,
) -> Result<Arc<Peers>> {
    let path = place.join("peer.address");
    let former = folder::line(&path)?.and_then(|address| address.parse().ok());
    let wanted = asked.or(former).unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let listen = async |at: SocketAddr| Peers::listen(key, &[net::Address::tcp(at)]).await;
    let peers = match listen(wanted).await {
        Err(_) if asked.is_none() => listen(SocketAddr::new(wanted.ip(), 0)).await,
        listening => listening,
    };
    let peers = peers.doing(|| "listening for providers".to_owned())?;
    if let Some(socket) = peers.addresses().first().and_then(net::Address::socket) {
        folder::write(&path, &socket.to_string())?;
    }
    Ok(Arc::new(peers))
}

/// Listen for HTTP on loopback: at the port asked for, else at the former one, else at any.
pub(crate) async fn for_clients(place: &Path, asked: Option<u16>) -> Result<TcpListener> {
    let path = place.join("api.port");
    let former = folder::line(&path)?.and_then(|port| port.parse().ok()).unwrap_or(0);
    let listener = match asked {
        Some(port) => TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await,
        None => match TcpListener::bind((Ipv4Addr::LOCALHOST, former)).await {
            Err(_) if former != 0 => TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await,
            listening => listening,
        },
    };
    let what = || format!("listening on port {}", asked.unwrap_or(former));
    let listener = listener.doing(what)?;
    let port = listener.local_addr().doing(what)?.port();
    folder::write(&path, &port.to_string())?;
    Ok(listener)
}
