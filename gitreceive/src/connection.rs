//! One SSH connection: the library's callbacks, translated.
//!
//! Decides nothing itself: who somebody is comes from the desk after the signature was verified, what a channel may do from
//! `session`. It never waits for a command: input goes into a spool, answers are queued by the library, commands are tasks.
//! The user name of SSH is not looked at.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use russh::keys::{Algorithm, Certificate, PublicKey};
use russh::server::{Auth, ChannelOpenHandle, Handler, Msg, PublicKeyOffer, Session, VerifiedPublicKey};
use russh::{ChannelId, ChannelOpenFailure, ChannelWriteHalf, Pty, Sig};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::algorithms;
use crate::client::{Client, block};
use crate::command::{self, Command};
use crate::door::Door;
use crate::exec_line::Service;
use crate::house::House;
use crate::key::UserKey;
use crate::session::{self, Answer, Ask, Start};
use crate::spool::{Intake, spool};
use crate::user_errors;

/// How much input of a fetch may wait: wants and haves.
const UPLOAD_INPUT: u64 = 64 << 20;
/// How much input of a verb may wait.
const VERB_INPUT: u64 = 1 << 30;

/// A channel and what runs on it.
struct Line {
    state: session::Channel,
    half: Arc<ChannelWriteHalf<Msg>>,
    running: Option<Run>,
}

struct Run {
    /// Taken at the end of the input.
    input: Option<Intake>,
    is_push: bool,
    resize: watch::Sender<(u16, u16)>,
    gone: CancellationToken,
}

impl Drop for Run {
    fn drop(&mut self) {
        self.gone.cancel();
    }
}

/// The connection.
pub(crate) struct Connection {
    house: Arc<House>,
    door: Arc<Door>,
    peer: IpAddr,
    /// Set when, and only when, the signature was verified.
    key: Option<UserKey>,
    lines: HashMap<ChannelId, Line>,
}

impl Connection {
    pub(crate) fn new(house: Arc<House>, door: Arc<Door>, peer: IpAddr) -> Self {
        Self { house, door, peer, key: None, lines: HashMap::new() }
    }

    /// The key, if it is acceptable and somebody's.
    async fn known(&self, key: &PublicKey, algorithm: &Algorithm) -> Option<UserKey> {
        if !algorithms::signs_well(algorithm) {
            return None;
        }
        let key = UserKey::of(key).ok()?;
        self.house.desk.identify(&key).await.is_some().then_some(key)
    }

    /// Carries out what `session` decided.
    fn ask(&mut self, channel: ChannelId, ask: Ask<'_>, session: &mut Session) -> Result<(), russh::Error> {
        let Some(line) = self.lines.get_mut(&channel) else { return session.channel_failure(channel) };
        match line.state.ask(ask) {
            Answer::Granted => session.channel_success(channel),
            Answer::Refused => session.channel_failure(channel),
            Answer::Started(start) => {
                session.channel_success(channel)?;
                self.start(channel, start);
                Ok(())
            }
        }
    }

    fn start(&mut self, channel: ChannelId, start: Start) {
        let (Some(key), Some(line)) = (self.key.clone(), self.lines.get_mut(&channel)) else { return };
        let config = &self.house.config;
        let (room, is_push) = match &start {
            Start::Git { service: Service::Receive, .. } => (config.max_pack.saturating_add(64 << 20), true),
            Start::Git { service: Service::Upload, .. } => (UPLOAD_INPUT, false),
            Start::Verb { .. } | Start::Refusal { .. } => (VERB_INPUT, false),
        };
        let (intake, outlet) = spool(self.house.input_limits(room));
        let gone = CancellationToken::new();
        let first = match &start {
            Start::Verb { terminal: Some(wish), .. } => wish.size,
            _ => (80, 24),
        };
        let (resize, size) = watch::channel(first);
        let client = Client::new(line.half.clone(), gone.clone());
        line.running = Some(Run { input: Some(intake), is_push, resize, gone });
        let command = Command { house: self.house.clone(), busy: self.door.busy(), key, start, size, input: outlet, client };
        self.house.work.spawn(command::run(command));
    }
}

impl Handler for Connection {
    type Error = russh::Error;

    async fn authentication_banner(&mut self) -> Result<Option<String>, Self::Error> {
        Ok(self.door.banner(self.peer, Instant::now()))
    }

    async fn auth_publickey_offered(&mut self, _user: &str, offer: PublicKeyOffer<'_>) -> Result<Auth, Self::Error> {
        // Nothing is remembered about the offer but, for the banner, the fingerprint of a key that is nobody's.
        if self.known(offer.public_key, offer.algorithm).await.is_some() {
            return Ok(Auth::Accept);
        }
        let fingerprint = offer.public_key.fingerprint(russh::keys::HashAlg::Sha256).to_string();
        tracing::debug!(peer = %self.peer, fingerprint, "an unknown key was offered");
        self.door.stranger(self.peer, fingerprint, Instant::now());
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
        self.door.logged_in(self.peer);
        Ok(())
    }

    async fn channel_open_session(
        &mut self,
        channel: russh::Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        if self.key.is_none() || self.lines.len() >= self.house.config.channels_per_connection {
            reply.reject(ChannelOpenFailure::ResourceShortage).await;
            return Ok(());
        }
        // The reading half is dropped: input arrives through `data`, where nothing waits. Kept and not read, its queue would
        // fill up and stop the whole connection.
        let (_, half) = channel.split();
        self.lines.insert(half.id(), Line { state: session::Channel::default(), half: Arc::new(half), running: None });
        reply.accept().await;
        Ok(())
    }

    async fn env_request(&mut self, channel: ChannelId, name: &str, value: &str, session: &mut Session) -> Result<(), Self::Error> {
        self.ask(channel, Ask::Variable { name, value }, session)
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
        self.ask(channel, Ask::Terminal { term, columns, rows }, session)
    }

    async fn exec_request(&mut self, channel: ChannelId, line: &[u8], session: &mut Session) -> Result<(), Self::Error> {
        self.ask(channel, Ask::Exec(line), session)
    }

    async fn shell_request(&mut self, channel: ChannelId, session: &mut Session) -> Result<(), Self::Error> {
        self.ask(channel, Ask::Shell, session)
    }

    async fn subsystem_request(&mut self, channel: ChannelId, _name: &str, session: &mut Session) -> Result<(), Self::Error> {
        self.ask(channel, Ask::Other, session)
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
        self.ask(channel, Ask::Other, session)
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
        if let Some(run) = self.lines.get(&channel).and_then(|line| line.running.as_ref()) {
            run.resize.send_replace(session::size(columns, rows));
        }
        Ok(())
    }

    /// Signals over SSH are not passed on: a command ends with its input, or with its client.
    async fn signal(&mut self, _channel: ChannelId, _signal: Sig, _session: &mut Session) -> Result<(), Self::Error> {
        Ok(())
    }

    async fn data(&mut self, channel: ChannelId, data: &[u8], session: &mut Session) -> Result<(), Self::Error> {
        let Some(run) = self.lines.get_mut(&channel).and_then(|line| line.running.as_mut()) else { return Ok(()) };
        let Some(input) = &run.input else { return Ok(()) };
        let Err(error) = input.push(Bytes::copy_from_slice(data)) else { return Ok(()) };
        tracing::warn!(error = &error as &dyn std::error::Error, "the input of a command can not be kept");
        // A push is past its limit here, and git will say so when it gets there. A verb must not take half of its input for all.
        run.input = None;
        if !run.is_push {
            session.extended_data(channel, 1, block(&user_errors::too_much_input()))?;
            session.exit_status_request(channel, 1)?;
            session.close(channel)?;
            self.lines.remove(&channel);
        }
        Ok(())
    }

    async fn channel_eof(&mut self, channel: ChannelId, _session: &mut Session) -> Result<(), Self::Error> {
        if let Some(run) = self.lines.get_mut(&channel).and_then(|line| line.running.as_mut()) {
            run.input = None;
        }
        Ok(())
    }

    async fn channel_close(&mut self, channel: ChannelId, _session: &mut Session) -> Result<(), Self::Error> {
        self.lines.remove(&channel);
        Ok(())
    }
}
