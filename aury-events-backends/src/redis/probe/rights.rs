//! Whether the user may do what a bus does.
//!
//! Commands are given to the server inside of a transaction that is then discarded: it checks the rights when it takes
//! them, and carries none of them out.

use std::fmt;

use redis::{Pipeline, RedisError, Value, aio::MultiplexedConnection};

/// Commands, as the server is given them: `{key}` stands for a key of the bus, `{channel}` for a channel.
type Commands = &'static [&'static str];

/// What a process needs whose subscribers read streams. Scripts call these commands, too.
pub(crate) const STREAMS: Commands = &[
    "XADD {key} * event e",
    "XREADGROUP GROUP g c STREAMS {key} >",
    "XREAD STREAMS {key} 0",
    "XACK {key} g 0-1",
    "XCLAIM {key} g c 0 0-1",
    "XPENDING {key} g",
    "XGROUP CREATE {key} g 0",
    "XGROUP DELCONSUMER {key} g c",
    "XINFO GROUPS {key}",
    "XINFO CONSUMERS {key} g",
    "XLEN {key}",
    "XRANGE {key} - +",
    "XREVRANGE {key} + -",
    "XTRIM {key} MAXLEN 0",
    "XDEL {key} 0-1",
    "SADD {key} m",
    "SMEMBERS {key}",
    "HGETALL {key}",
    "HKEYS {key}",
    "HGET {key} f",
    "HSET {key} f v",
    "HSETNX {key} f v",
    "HDEL {key} f",
    "ZADD {key} 0 m",
    "ZREM {key} m",
    "ZRANGE {key} 0 0",
    "ZRANGEBYSCORE {key} 0 0",
    "ZREMRANGEBYRANK {key} 0 0",
    "INCRBY {key} 1",
    "DECRBY {key} 1",
    "PERSIST {key}",
    "TYPE {key}",
    "SET {key} v",
    "DEL {key}",
    "EXISTS {key}",
    "EXPIRE {key} 1",
    "PEXPIRE {key} 1",
    "TIME",
    "EVAL return 1 {key}",
];

/// What a process needs whose subscribers listen to channels: the channels themselves are asked for as they are
/// subscribed to, and the rest keeps dead letters.
pub(crate) const PUBSUB: Commands = &[
    "XADD {key} * event e",
    "XLEN {key}",
    "XRANGE {key} - +",
    "XREVRANGE {key} + -",
    "XTRIM {key} MAXLEN 0",
    "XDEL {key} 0-1",
    "SET {key} v",
    "INCRBY {key} 1",
    "DECRBY {key} 1",
    "PERSIST {key}",
    "PUBLISH {channel} m",
    "PUBSUB NUMSUB {channel}",
    "EVAL return 1 {key}",
];

/// What remembers which events were handled.
pub(crate) const IDEMPOTENCY: Commands = &["SET {key} v", "EXISTS {key}"];

/// The commands of a user that is refused some.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    /// Each with the server's words.
    commands: Vec<(String, String)>,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.commands.iter().map(|(name, _)| format!("`{name}`")).collect();
        write!(f, "the server refuses {}", names.join(", "))?;
        match self.commands.first() {
            Some((_, words)) => write!(f, " ({words})"),
            None => Ok(()),
        }
    }
}

/// Asks whether all of these commands are allowed.
///
/// The connection must be nobody else's: what is sent meanwhile would be part of the transaction.
pub(crate) async fn check(
    connection: &mut MultiplexedConnection,
    commands: Commands,
    key: &str,
) -> Result<Result<(), Refused>, RedisError> {
    if let Err(error) = redis::cmd("MULTI").query_async::<()>(connection).await {
        if error.is_io_error() {
            return Err(error);
        }
        // Whoever may not even begin a transaction finds out by doing.
        tracing::debug!(%error, "the rights on Redis cannot be asked for");
        return Ok(Ok(()));
    }
    let mut pipeline: Pipeline = redis::pipe();
    pipeline.ignore_errors();
    for command in commands {
        pipeline.add_command(filled(command, key));
    }
    pipeline.cmd("DISCARD");
    let answers: Vec<Value> = pipeline.query_async(connection).await?;
    let refused = commands.iter().zip(answers).filter_map(|(command, answer)| {
        let error = answer.extract_error().err()?;
        is_refusal(&error).then(|| (name(command), words(&error)))
    });
    let refused = Refused { commands: refused.collect() };
    Ok(if refused.commands.is_empty() { Ok(()) } else { Err(refused) })
}

fn filled(command: &str, key: &str) -> redis::Cmd {
    let mut filled = redis::Cmd::new();
    let mut words = command.split(' ');
    if let Some(script) = command.strip_prefix("EVAL ") {
        // A script has spaces in it.
        let (script, _) = script.rsplit_once(' ').unwrap_or((script, ""));
        filled.arg("EVAL").arg(script).arg(1).arg(key);
        return filled;
    }
    words
        .by_ref()
        .for_each(|word| _ = filled.arg(word.replace("{key}", key).replace("{channel}", key)));
    filled
}

/// The name as rules for users have it: `xgroup|create`.
fn name(command: &str) -> String {
    let mut words = command.split(' ');
    let first = words.next().unwrap_or_default();
    match (first, words.next()) {
        ("XGROUP" | "XINFO" | "PUBSUB", Some(second)) => format!("{first} {second}"),
        _ => first.to_owned(),
    }
}

/// What the server said, without the code.
fn words(error: &RedisError) -> String {
    let code = error.code().unwrap_or_default();
    error.detail().map_or_else(|| error.to_string(), |detail| format!("{code} {detail}"))
}

/// Whether the server does not know the command or does not allow it; a server that is full may refuse to take one, too.
fn is_refusal(error: &RedisError) -> bool {
    matches!(error.code(), Some("NOPERM" | "ERR"))
}
