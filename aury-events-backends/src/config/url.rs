//! Broker URLs, which hold a password and never show it.

use std::{error::Error, fmt, str::FromStr};

use crate::destination::Server;

/// Where a broker is, as in `redis://user:password@host:6379/0` (RFC 3986).
///
/// `Display` and `Debug` mask the password and every parameter (`redis://user:***@host:6379/0?db=***`); only
/// [`expose`](Self::expose) tells them.
/// A text that can be read in two ways is refused, so that masking never has to guess where a password ends.
///
/// Any scheme is taken, since backends of third parties have their own. `unix://` and those that end in `+unix` name
/// the path of a socket; all others a host, or several with commas between them.
///
/// ```
/// use aury_events_backends::config::BusUrl;
///
/// let url: BusUrl = "redis://shop:hunter2@cache:6379/0".parse()?;
/// assert_eq!(url.to_string(), "redis://shop:***@cache:6379/0");
///
/// let socket: BusUrl = "redis+unix:///run/redis.sock?db=1&pass=hunter2".parse()?;
/// assert_eq!(socket.to_string(), "redis+unix:///run/redis.sock?db=***");
/// # Ok::<(), aury_events_backends::config::InvalidUrl>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct BusUrl {
    text: String,
    scheme_len: usize,
}

/// Why a text is no broker URL. It holds nothing of the text, which may be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidUrl {
    /// It does not begin with a scheme and `://`.
    NoScheme,
    /// It names no host.
    NoHost,
    /// What stands in the place of a host is no `host` and no `host:port`. That is also what a user name and password
    /// look like when `@host` is missing.
    InvalidHost,
    /// It is a socket's, and is not `://` and an absolute path.
    NoPath,
    /// It holds whitespace or a control character.
    Whitespace,
    /// It holds a `#`, or an `@` after the first `/` or `?`: a sign of a password that is not percent-encoded.
    NotEncoded,
}

impl BusUrl {
    /// Takes a URL.
    pub fn parse(text: &str) -> Result<Self, InvalidUrl> {
        if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(InvalidUrl::Whitespace);
        }
        let (scheme, rest) = text.split_once("://").ok_or(InvalidUrl::NoScheme)?;
        if !is_scheme(scheme) {
            return Err(InvalidUrl::NoScheme);
        }
        if rest.contains('#') {
            return Err(InvalidUrl::NotEncoded);
        }
        let scheme = scheme.to_ascii_lowercase();
        if scheme == "unix" || scheme.ends_with("+unix") {
            check_socket(rest)?;
        } else {
            check_server(rest)?;
        }
        Ok(Self { text: format!("{scheme}://{rest}"), scheme_len: scheme.len() })
    }

    /// What stands before `://`, in lower case.
    pub fn scheme(&self) -> &str {
        &self.text[..self.scheme_len]
    }

    /// The whole text, password included: for the client library alone, never for a message.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// The same URL with each of its hosts alone, in their order: what a client takes that knows of one host.
    pub fn for_each_host(&self) -> Vec<Self> {
        let (scheme, rest) = self.text.split_at(self.scheme_len + "://".len());
        let Parts { authority, .. } = Parts::of(rest);
        let (user, hosts) = match authority.rsplit_once('@') {
            Some((user, hosts)) => (&authority[..=user.len()], hosts),
            None => ("", authority),
        };
        let behind = &rest[authority.len()..];
        let alone = |host| Self {
            text: format!("{scheme}{user}{host}{behind}"),
            scheme_len: self.scheme_len,
        };
        hosts.split(',').map(alone).collect()
    }

    /// Where the broker is, if the URL names one host or a socket: what traces may show.
    pub fn server(&self) -> Option<Server> {
        let Parts { authority, path, .. } = self.parts();
        let hosts = authority.rsplit_once('@').map_or(authority, |(_, hosts)| hosts);
        if hosts.is_empty() {
            return Some(Server::new(path, None));
        }
        if hosts.contains(',') {
            return None;
        }
        let end = hosts.rfind(']').map_or(0, |bracket| bracket + 1);
        let (host, port) = match hosts[end..].find(':') {
            Some(colon) => (&hosts[..end + colon], hosts[end + colon + 1..].parse().ok()),
            None => (hosts, None),
        };
        let host = host.strip_prefix('[').and_then(|v6| v6.strip_suffix(']')).unwrap_or(host);
        Some(Server::new(host, port))
    }

    pub(super) fn parts(&self) -> Parts<'_> {
        Parts::of(&self.text[self.scheme_len + "://".len()..])
    }
}

/// What follows `://`, cut where RFC 3986 §3 cuts it.
pub(super) struct Parts<'a> {
    pub(super) authority: &'a str,
    pub(super) path: &'a str,
    pub(super) query: Option<&'a str>,
}

impl<'a> Parts<'a> {
    fn of(rest: &'a str) -> Self {
        let (location, query) = match rest.split_once('?') {
            Some((location, query)) => (location, Some(query)),
            None => (rest, None),
        };
        let (authority, path) = location.split_at(location.find('/').unwrap_or(location.len()));
        Self { authority, path, query }
    }
}

/// RFC 3986 §3.1.
fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
}

fn check_socket(rest: &str) -> Result<(), InvalidUrl> {
    let Parts { authority, path, .. } = Parts::of(rest);
    if authority.is_empty() && path.len() > 1 { Ok(()) } else { Err(InvalidUrl::NoPath) }
}

fn check_server(rest: &str) -> Result<(), InvalidUrl> {
    let authority = Parts::of(rest).authority;
    if rest[authority.len()..].contains('@') {
        return Err(InvalidUrl::NotEncoded);
    }
    let hosts = authority.rsplit_once('@').map_or(authority, |(_, hosts)| hosts);
    hosts.split(',').try_for_each(check_host)
}

/// `host`, `host:port`, `[v6]` or `[v6]:port`.
fn check_host(text: &str) -> Result<(), InvalidUrl> {
    let (host, port, signs) = match text.strip_prefix('[').and_then(|v6| v6.split_once(']')) {
        Some((host, port)) => (host, port, ":.%"),
        None => {
            let (host, port) = text.split_at(text.find(':').unwrap_or(text.len()));
            (host, port, "-._")
        }
    };
    if host.is_empty() {
        return Err(InvalidUrl::NoHost);
    }
    let valid = host.chars().all(|c| c.is_alphanumeric() || signs.contains(c))
        && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port));
    if valid { Ok(()) } else { Err(InvalidUrl::InvalidHost) }
}

fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok()
}

impl FromStr for BusUrl {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, InvalidUrl> {
        Self::parse(text)
    }
}

impl fmt::Display for InvalidUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoScheme => {
                "it does not begin with a scheme and `://`, as in `redis://localhost:6379`"
            }
            Self::NoHost => "it names no host, as in `redis://localhost:6379`",
            Self::InvalidHost => {
                "it has neither `host` nor `host:port` where a host belongs; \
                 a password is followed by `@host`, an IPv6 address stands in brackets"
            }
            Self::NoPath => {
                "it does not name a socket by an absolute path, as in `unix:///run/redis.sock`"
            }
            Self::Whitespace => "it holds whitespace or control characters",
            Self::NotEncoded => {
                "it holds a `#`, or an `@` after the first `/` or `?`; \
                 in a password, write `@` as `%40`, `/` as `%2F`, `?` as `%3F` and `#` as `%23`"
            }
        })
    }
}

impl Error for InvalidUrl {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_is_in_lower_case_and_the_rest_as_given() {
        let url = BusUrl::parse("REDIS+Unix:///Run/redis.sock?Pass=X").unwrap();
        assert_eq!(url.scheme(), "redis+unix");
        assert_eq!(url.expose(), "redis+unix:///Run/redis.sock?Pass=X");
    }

    #[test]
    fn each_host_has_a_url_of_its_own() {
        let hosts = |text: &str| -> Vec<String> {
            let urls = BusUrl::parse(text).unwrap().for_each_host();
            urls.iter().map(|url| url.expose().to_owned()).collect()
        };
        assert_eq!(hosts("amqp://localhost"), ["amqp://localhost"]);
        assert_eq!(
            hosts("amqp://u:p,w@a:1,[::1]:2,c/v?heartbeat=3"),
            [
                "amqp://u:p,w@a:1/v?heartbeat=3",
                "amqp://u:p,w@[::1]:2/v?heartbeat=3",
                "amqp://u:p,w@c/v?heartbeat=3"
            ]
        );
    }

    #[test]
    fn a_single_server_is_told_without_the_password() {
        for (url, server) in [
            ("redis://u:p@cache:6380/0", Some(("cache", Some(6380)))),
            ("amqps://broker/v", Some(("broker", None))),
            ("amqp://u:p@[::1]:5673", Some(("::1", Some(5673)))),
            ("amqp://[fe80::1%eth0]", Some(("fe80::1%eth0", None))),
            ("unix:///run/redis.sock?pass=p", Some(("/run/redis.sock", None))),
            ("amqp://u:p@a:1,b:2", None),
        ] {
            let expected = server.map(|(address, port)| Server::new(address, port));
            assert_eq!(BusUrl::parse(url).unwrap().server(), expected, "{url}");
        }
    }

    #[test]
    fn any_broker_can_be_named() {
        for text in [
            "redis://localhost",
            "redis://u:p@10.0.0.1:6379/0?protocol=resp3",
            "amqps://shop:p@s:s@[fe80::1%eth0]:5671/v%40h",
            "unix:///run/a@b.sock?pass=c@d",
            "nats://u:p@a:1,b:2",
            "x+y-z.1://größe_1.example",
        ] {
            assert!(BusUrl::parse(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, error) in [
            ("", InvalidUrl::NoScheme),
            ("localhost:6379", InvalidUrl::NoScheme),
            ("://host", InvalidUrl::NoScheme),
            ("user:pw@ho://st", InvalidUrl::NoScheme),
            ("redis://", InvalidUrl::NoHost),
            ("redis:///0", InvalidUrl::NoHost),
            ("redis://user:pw@", InvalidUrl::NoHost),
            ("redis://user:pw@:6379", InvalidUrl::NoHost),
            ("redis://[]:6379", InvalidUrl::NoHost),
            ("nats://a,,b", InvalidUrl::NoHost),
            ("redis://user:pw", InvalidUrl::InvalidHost),
            ("redis://user%3Apw%40host", InvalidUrl::InvalidHost),
            ("redis://host:65536", InvalidUrl::InvalidHost),
            ("redis://host:", InvalidUrl::InvalidHost),
            ("redis://[::1]x", InvalidUrl::InvalidHost),
            ("redis://2001:db8::1", InvalidUrl::InvalidHost),
            ("unix://", InvalidUrl::NoPath),
            ("unix:///", InvalidUrl::NoPath),
            ("unix://user:pw@host/run/r.sock", InvalidUrl::NoPath),
            ("redis://host\n", InvalidUrl::Whitespace),
            ("redis://user:p w@host", InvalidUrl::Whitespace),
            ("redis://user:p/w@host", InvalidUrl::NotEncoded),
            ("redis://user:p@/w@host", InvalidUrl::NotEncoded),
            ("redis://user:p?w@host", InvalidUrl::NotEncoded),
            ("redis://user:p#w@host", InvalidUrl::NotEncoded),
            ("rediss://host/#insecure", InvalidUrl::NotEncoded),
        ] {
            assert_eq!(BusUrl::parse(text), Err(error), "{text}");
        }
    }
}
