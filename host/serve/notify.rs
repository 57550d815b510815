//! Tells whoever started the host how it is: systemd's protocol, of a line to a socket (`sd_notify(3)`). Knows no stage.

use std::time::Duration;

/// The socket that `NOTIFY_SOCKET` names; nothing is told where there is none.
#[derive(Clone, Debug, Default)]
pub struct Notify {
    socket: Option<String>,
    /// How often life has to be shown, if it has to.
    every: Option<Duration>,
}

impl Notify {
    /// `socket` is a path, or an abstract name behind `@`; `watchdog_us` is how long the host may be silent.
    pub fn new(socket: Option<String>, watchdog_us: Option<u64>) -> Self {
        let every = watchdog_us.filter(|us| *us > 0).map(|us| Duration::from_micros(us / 2));
        Self { every: every.filter(|_| socket.is_some()), socket }
    }

    /// The host listens.
    pub fn ready(&self) {
        self.tell("READY=1\nSTATUS=listening");
    }

    /// The host ends, and may take its time for it.
    pub fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=stopping");
    }

    /// Shows life for ever, if that is wanted, each time after this has shown it: what does not come back shows none.
    pub async fn live(&self, lives: impl AsyncFn()) {
        let Some(every) = self.every else { return std::future::pending().await };
        loop {
            lives().await;
            self.tell("WATCHDOG=1");
            tokio::time::sleep(every).await;
        }
    }

    /// Nobody can be told that this does not arrive but the log.
    fn tell(&self, what: &str) {
        if let Some(socket) = &self.socket
            && let Err(error) = send(socket, what.as_bytes())
        {
            tracing::warn!("telling `{socket}` (NOTIFY_SOCKET): {error}");
        }
    }
}

#[cfg(unix)]
fn send(socket: &str, what: &[u8]) -> std::io::Result<()> {
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    let from = UnixDatagram::unbound()?;
    from.set_nonblocking(true)?;
    let address = match socket.strip_prefix('@') {
        #[cfg(target_os = "linux")]
        Some(name) => <SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(socket)?,
    };
    from.send_to_addr(what, &address).map(drop)
}

#[cfg(not(unix))]
fn send(_: &str, _: &[u8]) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}

#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests {
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    use super::*;

    fn heard(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 100];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    #[tokio::test]
    async fn a_socket_is_told_by_path_and_by_abstract_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let by_path = UnixDatagram::bind(&path).unwrap();
        let name = format!("tandem-notify-{}", std::process::id());
        let by_name = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        for (address, socket) in [(path.display().to_string(), by_path), (format!("@{name}"), by_name)] {
            let notify = Notify::new(Some(address), Some(20));
            notify.ready();
            assert_eq!(heard(&socket), "READY=1\nSTATUS=listening");
            notify.stopping();
            assert_eq!(heard(&socket), "STOPPING=1\nSTATUS=stopping");
            tokio::select! {
                () = notify.live(async || ()) => {}
                () = tokio::time::sleep(Duration::from_millis(5)) => {}
            }
            assert_eq!(heard(&socket), "WATCHDOG=1");
            // What hangs shows no life.
            socket.set_nonblocking(true).unwrap();
            while socket.recv(&mut [0; 100]).is_ok() {}
            tokio::select! {
                () = notify.live(async || std::future::pending().await) => {}
                () = tokio::time::sleep(Duration::from_millis(50)) => {}
            }
            assert!(socket.recv(&mut [0; 100]).is_err());
        }
    }

    #[test]
    fn where_nobody_listens_nothing_is_told_and_nothing_fails() {
        Notify::new(None, Some(1)).ready();
        Notify::new(Some("/no/such/socket".into()), None).ready();
        assert!(Notify::new(None, Some(1_000)).every.is_none());
        assert_eq!(Notify::new(Some("@a".into()), Some(3_000)).every, Some(Duration::from_micros(1_500)));
    }
}
