//! `RelayedBody`: the body of an answer, from the app's connection to hyper, without a task or a queue between.
//!
//! Owns the decoding of the body and what becomes of the connection after it. Must never end a body quietly that did not end:
//! the client's connection breaks then, so that nobody takes half an answer for a whole one.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderName, HeaderValue, Response, header};
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep};

use crate::chunked::{Chunked, Piece};
use crate::config::Times;
use crate::observe::access_line::End;
use crate::observe::access_record::AccessRecord;
use crate::upstream::request_writer::RequestWriter;
use crate::upstream::response_head::{BadResponse, Length, ResponseHead};
use crate::upstream::upstream_conn::{UpstreamConn, UpstreamFault};

/// Why a body broke off.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyFault {
    #[error("the app's connection failed")]
    Io(#[source] std::io::Error),
    #[error("the app's answer is bad")]
    Bad(#[source] BadResponse),
    #[error("the client's body failed")]
    Client,
    #[error("the app stopped sending")]
    Late,
}

#[derive(Debug)]
enum Decoder {
    Exact(u64),
    Chunked(Chunked),
    UntilClose,
}

/// The body of a response.
#[derive(Debug)]
pub(crate) enum ResponseBody {
    /// None: the head says it all.
    Empty,
    /// A page of ours.
    Page(Option<Bytes>, #[expect(dead_code, reason = "its drop writes the access line")] Box<AccessRecord>),
    /// What the app sends.
    Relayed(Box<RelayedBody>),
}

impl ResponseBody {
    pub(crate) fn page(body: Bytes, record: AccessRecord) -> Self {
        Self::Page(Some(body), Box::new(record))
    }
}

#[derive(Debug)]
pub(crate) struct RelayedBody {
    conn: Option<UpstreamConn>,
    writer: RequestWriter,
    record: AccessRecord,
    decoder: Decoder,
    keep_alive: bool,
    limit: Duration,
    timer: Option<Pin<Box<Sleep>>>,
}

impl RelayedBody {
    /// Turns an answer into a response for hyper.
    pub(crate) fn respond(
        answer: ResponseHead,
        conn: UpstreamConn,
        writer: RequestWriter,
        mut record: AccessRecord,
        times: &Times,
    ) -> Response<ResponseBody> {
        let ResponseHead { status, mut headers, length, keep_alive } = answer;
        let id = HeaderValue::from_str(record.id.as_str()).expect("hexadecimal digits are a header value");
        headers.insert(HeaderName::from_static("x-request-id"), id);
        let stream = headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
        let limit = if stream { times.quiet } else { times.answer };
        let decoder = match length {
            Length::Empty => None,
            Length::Exact(left) => Some(Decoder::Exact(left)),
            Length::Chunked => Some(Decoder::Chunked(Chunked::default())),
            Length::UntilClose => Some(Decoder::UntilClose),
        };
        let reply = match decoder {
            Some(decoder) => {
                ResponseBody::Relayed(Box::new(Self { conn: Some(conn), writer, record, decoder, keep_alive, limit, timer: None }))
            }
            None => {
                record.end = End::Whole;
                finish(conn, &writer, &mut record, keep_alive);
                ResponseBody::Empty
            }
        };
        let mut response = Response::new(reply);
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        response
    }

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        loop {
            let Some(conn) = &mut self.conn else { return Poll::Ready(None) };
            if let Err(UpstreamFault::Client) = conn.poll_send(cx, &mut self.writer) {
                return self.fail(End::Left, BodyFault::Client);
            }
            if conn.input.is_empty() {
                match conn.poll_more(cx) {
                    Poll::Pending => return self.poll_late(cx),
                    Poll::Ready(Err(error)) => return self.fail(End::Broken, BodyFault::Io(error)),
                    Poll::Ready(Ok(more)) if more.is_empty() => {
                        return match self.decoder {
                            Decoder::UntilClose => self.end(),
                            _ => self.fail(End::Broken, BodyFault::Bad(BadResponse::Truncated)),
                        };
                    }
                    Poll::Ready(Ok(more)) => {
                        conn.input = more;
                        self.timer = None;
                    }
                }
            }
            let data = match &mut self.decoder {
                Decoder::UntilClose => std::mem::take(&mut conn.input),
                Decoder::Exact(left) => {
                    let data = conn.input.split_to((*left).min(conn.input.len() as u64) as usize);
                    *left -= data.len() as u64;
                    if *left == 0 {
                        self.record.sent += data.len() as u64;
                        let _ = self.end();
                        return Poll::Ready(Some(Ok(Frame::data(data))));
                    }
                    data
                }
                Decoder::Chunked(chunked) => match chunked.step(&conn.input) {
                    Ok(Piece::More) => {
                        conn.input.clear();
                        continue;
                    }
                    Ok(Piece::Data { skip, len }) => {
                        conn.input.advance(skip);
                        conn.input.split_to(len)
                    }
                    Ok(Piece::End { used }) => {
                        conn.input.advance(used);
                        let trailers = trailers(chunked.trailer());
                        let _ = self.end();
                        return Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))));
                    }
                    Err(_) => return self.fail(End::Broken, BodyFault::Bad(BadResponse::Chunk)),
                },
            };
            self.record.sent += data.len() as u64;
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
    }

    /// Nothing has come: how long already?
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        let limit = self.limit;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(limit)));
        // A body that the client still sends is life as well.
        if !self.writer.is_done() && timer.deadline() <= Instant::now() + limit / 2 {
            timer.as_mut().reset(Instant::now() + limit);
        }
        ready!(timer.as_mut().poll(cx));
        self.fail(End::Late, BodyFault::Late)
    }

    fn fail(&mut self, end: End, fault: BodyFault) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        self.conn = None;
        self.record.end = end;
        self.record.received = self.writer.received();
        Poll::Ready(Some(Err(fault)))
    }

    fn end(&mut self) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        self.record.end = End::Whole;
        if let Some(conn) = self.conn.take() {
            finish(conn, &self.writer, &mut self.record, self.keep_alive);
        }
        Poll::Ready(None)
    }
}

/// The answer was read whole: the connection goes back, the instance has one request less.
fn finish(conn: UpstreamConn, writer: &RequestWriter, record: &mut AccessRecord, keep_alive: bool) {
    record.received = writer.received();
    if let Some(lease) = &record.lease {
        conn.finish(lease.backend(), keep_alive, writer);
    }
}

/// Trailer lines as headers, without those that mean something to the connection.
fn trailers(lines: &[u8]) -> Option<HeaderMap> {
    let mut fields = [httparse::EMPTY_HEADER; 32];
    let Ok(httparse::Status::Complete((_, fields))) = httparse::parse_headers(lines, &mut fields) else { return None };
    let mut trailers = HeaderMap::new();
    for field in fields.iter() {
        let (Ok(name), Ok(value)) = (HeaderName::from_bytes(field.name.as_bytes()), HeaderValue::from_bytes(field.value)) else { continue };
        let framing =
            [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::TRAILER, header::CONNECTION, header::HOST, header::SET_COOKIE];
        if !framing.contains(&name) {
            trailers.append(name, value);
        }
    }
    (!trailers.is_empty()).then_some(trailers)
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Page(body, _) => Poll::Ready(body.take().map(|body| Ok(Frame::data(body)))),
            Self::Relayed(relayed) => relayed.poll_data(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Page(body, _) => body.is_none(),
            Self::Relayed(relayed) => relayed.conn.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Page(body, _) => SizeHint::with_exact(body.as_ref().map_or(0, |body| body.len() as u64)),
            Self::Relayed(relayed) => match &relayed.decoder {
                Decoder::Exact(left) => SizeHint::with_exact(*left),
                _ => SizeHint::default(),
            },
        }
    }
}
