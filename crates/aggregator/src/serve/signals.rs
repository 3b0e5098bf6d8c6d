//! Shutdown: the signals that stop the server.

use std::{future::Future, io};
use tokio::sync::watch;

/// Becomes true at Ctrl-C or a request to terminate.
pub fn stop_signal() -> io::Result<watch::Receiver<bool>> {
    let (sender, receiver) = watch::channel(false);
    let signal = termination()?;
    tokio::spawn(async move {
        signal.await;
        let _ = sender.send(true);
        // Kept: a closed channel would look like a change for ever.
        std::future::pending::<()>().await;
    });
    Ok(receiver)
}

#[cfg(unix)]
fn termination() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

#[cfg(not(unix))]
fn termination() -> io::Result<impl Future<Output = ()>> {
    Ok(async {
        let _ = tokio::signal::ctrl_c().await;
    })
}
