//! One SSH connection: translates the library's callbacks.
//!
//! Decides nothing itself: the backend says whose a key is after its signature was verified, `session` says what a channel may
//! do. It never waits for a command: input goes into a spool, replies are queued by the library, commands are tasks. The user
//! name of SSH is ignored.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use bytes::Bytes;
use russh::keys::{Algorithm, Certificate, PublicKey};
use russh::server::{Auth, ChannelOpenHandle, Handler, Msg, PublicKeyOffer, Session, VerifiedPublicKey};
use russh::{ChannelId, ChannelOpenFailure, ChannelWriteHalf, Pty, Sig};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::server_state::ServerState;
use crate::spool::{SpoolWriter, spool};
use crate::ssh::algorithms;
use crate::ssh::client::{Client, error_lines};
use crate::ssh::command::{self, Command};
use crate::ssh::connection_permit::ConnectionPermit;
use crate::ssh::exec_line::Service;
use crate::ssh::session::{self, ChannelRequest, ChannelState, Reply, StartCommand};
use crate::ssh::user_key::UserKey;
use crate::user_errors;

/// Most bytes of a fetch's input that may wait: its wants and haves.
const UPLOAD_INPUT: u64 = 64 << 20;
/// Most bytes of a verb's input that may wait.
const VERB_INPUT: u64 = 1 << 30;

/// An open channel and the command on it.
struct OpenChannel {
    state: ChannelState,
    writer: Arc<ChannelWriteHalf<Msg>>,
    command: Option<RunningCommand>,
    /// Set when the server has closed the channel. The library reports only closes that come from the client first.
    closed: Arc<AtomicBool>,
}

/// The connection's side of a running command. Dropping it tells the command that its client is gone.
struct RunningCommand {
    /// `None` after the end of the input.
    input: Option<SpoolWriter>,
    is_push: bool,
    resize: watch::Sender<(u16, u16)>,
    gone: CancellationToken,
}

impl Drop for RunningCommand {
    fn drop(&mut self) {
        self.gone.cancel();
    }
}

/// The handler of one connection.
pub(crate) struct Connection {
    state: Arc<ServerState>,
    permit: Arc<ConnectionPermit>,
    peer: IpAddr,
    /// Set when, and only when, the signature was verified.
    key: Option<UserKey>,
    channels: HashMap<ChannelId, OpenChannel>,
}

impl Connection {
    pub(crate) fn new(state: Arc<ServerState>, permit: Arc<ConnectionPermit>, peer: IpAddr) -> Self {
        Self { state, permit, peer, key: None, channels: HashMap::new() }
    }

    /// The key, if it is acceptable and belongs to a user.
    async fn known(&self, key: &PublicKey, algorithm: &Algorithm) -> Option<UserKey> {
        if !algorithms::signs_well(algorithm) {
            return None;
        }
        let key = UserKey::from_public_key(key)?;
        self.state.backend.identify(&key).await.is_some().then_some(key)
    }

    /// Carries out what `session` decided.
    fn request(&mut self, channel: ChannelId, request: ChannelRequest<'_>, session: &mut Session) -> Result<(), russh::Error> {
        let Some(open) = self.channels.get_mut(&channel) else { return session.channel_failure(channel) };
        match open.state.request(request) {
            Reply::Granted => session.channel_success(channel),
            Reply::Refused => session.channel_failure(channel),
            Reply::Started(start) => {
                session.channel_success(channel)?;
                self.start(channel, start);
                Ok(())
            }
        }
    }

    fn start(&mut self, channel: ChannelId, start: StartCommand) {
        let (Some(key), Some(open)) = (self.key.clone(), self.channels.get_mut(&channel)) else { return };
        let config = &self.state.config;
        let (input_limit, is_push) = match &start {
            StartCommand::Git { service: Service::Receive, .. } => (config.max_pack.saturating_add(64 << 20), true),
            StartCommand::Git { service: Service::Upload, .. } => (UPLOAD_INPUT, false),
            StartCommand::Verb { .. } | StartCommand::Refusal { .. } => (VERB_INPUT, false),
        };
        let (input_writer, input) = spool(self.state.input_limits(input_limit));
        let gone = CancellationToken::new();
        let first = match &start {
            StartCommand::Verb { terminal: Some(request), .. } => request.size,
            _ => (80, 24),
        };
        let (resize, size) = watch::channel(first);
        let client = Client::new(open.writer.clone(), gone.clone(), open.closed.clone());
        open.command = Some(RunningCommand { input: Some(input_writer), is_push, resize, gone });
        let command = Command { state: self.state.clone(), guard: self.permit.command(), key, start, size, input, client };
        self.state.work.spawn(command::run(command));
    }
}

impl Handler for Connection {
    type Error = russh::Error;

    async fn authentication_banner(&mut self) -> Result<Option<String>, Self::Error> {
        Ok(self.permit.banner(self.peer, Instant::now()))
    }

    async fn auth_publickey_offered(&mut self, _user: &str, offer: PublicKeyOffer<'_>) -> Result<Auth, Self::Error> {
        // Nothing is kept of the offer except, for the banner, the fingerprint of a key that belongs to no user.
        if self.known(offer.public_key, offer.algorithm).await.is_some() {
            return Ok(Auth::Accept);
        }
        let fingerprint = offer.public_key.fingerprint(russh::keys::HashAlg::Sha256).to_string();
        tracing::debug!(peer = %self.peer, fingerprint, "an unknown key was offered");
        self.permit.unknown_key(self.peer, fingerprint, Instant::now());
        Ok(Auth::reject())
    }

    async fn auth_publickey(&mut self, _user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Self::Error> {
        self.key = self.known(key.public_key, key.algorithm).await;
        Ok(if self.key.is_some() { Auth::Accept } else { Auth::reject() })
    }

    async fn auth_openssh_certificate(&mut self, _user: &str, _certificate: &Certificate) -> Result<Auth, Self::Error> {
        Ok(Auth::reject())
    }

    async fn auth_succeeded(&mut self, _session: &mut Session) -> Result<(), Self::Error> {
        self.permit.logged_in(self.peer);
        Ok(())
    }

    async fn channel_open_session(
        &mut self,
        channel: russh::Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.channels.retain(|_, open| !open.closed.load(Ordering::Acquire));
        if self.key.is_none() || self.channels.len() >= self.state.config.channels_per_connection {
            reply.reject(ChannelOpenFailure::ResourceShortage).await;
            return Ok(());
        }
        // The reading half is dropped: input arrives through `data`, where nothing waits. Kept and not read, its queue would
        // fill up and stop the whole connection.
        let (_, writer) = channel.split();
        let open = OpenChannel { state: ChannelState::default(), writer: Arc::new(writer), command: None, closed: Arc::default() };
        self.channels.insert(open.writer.id(), open);
        reply.accept().await;
        Ok(())
    }

    async fn env_request(&mut self, channel: ChannelId, name: &str, value: &str, session: &mut Session) -> Result<(), Self::Error> {
        self.request(channel, ChannelRequest::Variable { name, value }, session)
    }

    async fn pty_request(
        &mut self,
        channel: ChannelId,
        term: &str,
        columns: u32,
        rows: u32,
        _width: u32,
        _height: u32,
        _modes: &[(Pty, u32)],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.request(channel, ChannelRequest::Terminal { term, columns, rows }, session)
    }

    async fn exec_request(&mut self, channel: ChannelId, line: &[u8], session: &mut Session) -> Result<(), Self::Error> {
        self.request(channel, ChannelRequest::Exec(line), session)
    }

    async fn shell_request(&mut self, channel: ChannelId, session: &mut Session) -> Result<(), Self::Error> {
        self.request(channel, ChannelRequest::Shell, session)
    }

    async fn subsystem_request(&mut self, channel: ChannelId, _name: &str, session: &mut Session) -> Result<(), Self::Error> {
        self.request(channel, ChannelRequest::Other, session)
    }

    async fn x11_request(
        &mut self,
        channel: ChannelId,
        _single: bool,
        _protocol: &str,
        _cookie: &str,
        _screen: u32,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.request(channel, ChannelRequest::Other, session)
    }

    /// The library itself answers with a failure.
    async fn agent_request(&mut self, _channel: ChannelId, _session: &mut Session) -> Result<bool, Self::Error> {
        Ok(false)
    }

    async fn window_change_request(
        &mut self,
        channel: ChannelId,
        columns: u32,
        rows: u32,
        _width: u32,
        _height: u32,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        if let Some(command) = self.channels.get(&channel).and_then(|open| open.command.as_ref()) {
            command.resize.send_replace(session::size(columns, rows));
        }
        Ok(())
    }

    /// Signals over SSH are not passed on: a command ends with its input, or with its client.
    async fn signal(&mut self, _channel: ChannelId, _signal: Sig, _session: &mut Session) -> Result<(), Self::Error> {
        Ok(())
    }

    async fn data(&mut self, channel: ChannelId, data: &[u8], session: &mut Session) -> Result<(), Self::Error> {
        let Some(command) = self.channels.get_mut(&channel).and_then(|open| open.command.as_mut()) else { return Ok(()) };
        let Some(input) = &command.input else { return Ok(()) };
        let Err(error) = input.push(Bytes::copy_from_slice(data)) else { return Ok(()) };
        tracing::warn!(error = &error as &dyn std::error::Error, "the input of a command can not be kept");
        // git reports a push beyond its limit by itself. A verb must not take half of its input for all of it.
        command.input = None;
        if !command.is_push {
            session.extended_data(channel, 1, error_lines(&user_errors::too_much_input()))?;
            session.exit_status_request(channel, 1)?;
            session.close(channel)?;
            self.channels.remove(&channel);
        }
        Ok(())
    }

    async fn channel_eof(&mut self, channel: ChannelId, _session: &mut Session) -> Result<(), Self::Error> {
        if let Some(command) = self.channels.get_mut(&channel).and_then(|open| open.command.as_mut()) {
            command.input = None;
        }
        Ok(())
    }

    async fn channel_close(&mut self, channel: ChannelId, _session: &mut Session) -> Result<(), Self::Error> {
        self.channels.remove(&channel);
        Ok(())
    }
}
