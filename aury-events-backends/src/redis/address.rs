//! Where the server is: what a URL says.

use std::{fmt, path::PathBuf};

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion, RedisError};

use super::tls::{self, TlsFiles};
use crate::{config::BusUrl, error::BackendError};

/// The port of a Sentinel, unless said otherwise.
const SENTINEL_PORT: u16 = 26_379;

/// What a URL of Redis names, and how to log in there.
#[derive(Debug, Clone)]
pub(crate) enum Address {
    /// These servers, one of which can be written to. A node of a cluster stands for all of them.
    Servers(Vec<ConnectionInfo>),
    /// The primary of that name, as these Sentinels know it.
    Sentinels {
        sentinels: Vec<ConnectionInfo>,
        primary: String,
        /// How to log in to the primary; its host stands for whatever the Sentinels say.
        login: Box<ConnectionInfo>,
    },
}

impl Address {
    /// Reads a URL: `redis://`, `rediss://` (TLS), both with one host or several; `unix://` and `redis+unix://`;
    /// `redis+sentinel://` and `rediss+sentinel://`.
    ///
    /// # Errors
    ///
    /// When it is none of these, or has a parameter that none of them has.
    pub(crate) fn parse(url: &BusUrl, files: &TlsFiles) -> Result<Self, BackendError> {
        Self::read(url, files)
            .map_err(|reason| BackendError::other(format!("use {url} as the URL of Redis"), reason))
    }

    fn read(url: &BusUrl, files: &TlsFiles) -> Result<Self, Reason> {
        let (scheme, rest) = (url.scheme(), &url.expose()[url.scheme().len() + "://".len()..]);
        let (location, query) = rest.split_once('?').unwrap_or((rest, ""));
        let Some(plain) = scheme.strip_suffix("+sentinel") else {
            if scheme == "unix" || scheme.ends_with("+unix") {
                check_query(query, &["db", "user", "pass", "protocol"])?;
                return Ok(Self::Servers(vec![connection(url.expose(), files)?]));
            }
            check_query(query, &["protocol"])?;
            let (login, hosts, path) = cut(location);
            let server = |host| connection(&format!("{scheme}://{login}{host}/{path}"), files);
            return Ok(Self::Servers(hosts.split(',').map(server).collect::<Result<_, _>>()?));
        };
        check_query(query, &["sentinel_user", "sentinel_pass"])?;
        let parameter = |name| {
            let parts = query.split('&').filter_map(|it| it.split_once('='));
            parts.into_iter().find(|(known, _)| *known == name).map(|(_, value)| value)
        };
        let sentinel_login = match (parameter("sentinel_user"), parameter("sentinel_pass")) {
            (None, None) => String::new(),
            (user, pass) => format!("{}:{}@", user.unwrap_or(""), pass.unwrap_or("")),
        };
        let (login, hosts, path) = cut(location);
        let (primary, database) = path.split_once('/').unwrap_or((path, ""));
        if primary.is_empty() {
            return Err(Reason::NoPrimary);
        }
        let sentinel = |host: &str| {
            let has_port = host.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
            let port = if has_port { String::new() } else { format!(":{SENTINEL_PORT}") };
            let info = connection(&format!("{plain}://{sentinel_login}{host}{port}"), files)?;
            let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP2);
            Ok(info.set_redis_settings(settings))
        };
        let sentinels = hosts.split(',').map(sentinel).collect::<Result<_, Reason>>()?;
        let login = connection(&format!("{plain}://{login}primary/{database}"), files)?;
        Ok(Self::Sentinels { sentinels, primary: primary.to_owned(), login: Box::new(login) })
    }

    /// The database that is used.
    pub(crate) fn database(&self) -> i64 {
        match self {
            Self::Servers(servers) => servers.first().map_or(0, |it| it.redis_settings().db()),
            Self::Sentinels { login, .. } => login.redis_settings().db(),
        }
    }
}

/// The login with its `@`, the hosts, and what follows them without its `/`.
fn cut(location: &str) -> (&str, &str, &str) {
    let (authority, path) = location.split_once('/').unwrap_or((location, ""));
    let at = authority.rfind('@').map_or(0, |at| at + 1);
    (&authority[..at], &authority[at..], path)
}

fn connection(url: &str, files: &TlsFiles) -> Result<ConnectionInfo, Reason> {
    let info = url.into_connection_info()?;
    // Who may not name the client library is not refused for it.
    let settings = info.redis_settings().clone().set_skip_set_lib_name();
    let settings = settings.set_protocol(ProtocolVersion::RESP3);
    tls::with_files(info.set_redis_settings(settings), files).map_err(Reason::Tls)
}

/// A server at another place, with all else as given.
pub(crate) fn at(info: &ConnectionInfo, host: &str, port: u16) -> ConnectionInfo {
    let host = host.to_owned();
    let address = match info.addr().clone() {
        ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
            ConnectionAddr::TcpTls { host, port, insecure, tls_params }
        }
        _ => ConnectionAddr::Tcp(host, port),
    };
    info.clone().set_addr(address)
}

fn check_query(query: &str, known: &'static [&'static str]) -> Result<(), Reason> {
    let names = query.split('&').filter(|it| !it.is_empty());
    for name in names.map(|it| it.split_once('=').map_or(it, |(name, _)| name)) {
        if !known.contains(&name) {
            let is_name = name.chars().all(|it| it.is_ascii_lowercase() || it == '_');
            // What is no name may be part of a password.
            let name = if is_name { name.to_owned() } else { "…".to_owned() };
            return Err(Reason::UnknownParameter { name, known });
        }
    }
    Ok(())
}

/// Why a URL cannot be used. It holds no password.
#[derive(Debug)]
enum Reason {
    UnknownParameter { name: String, known: &'static [&'static str] },
    NoPrimary,
    Refused(RedisError),
    Tls(tls::InvalidFiles),
}

impl From<RedisError> for Reason {
    fn from(error: RedisError) -> Self {
        Self::Refused(error)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownParameter { name, known } => {
                write!(f, "it has no parameter `{name}`; ")?;
                match &**name {
                    "password" | "pw" if known.contains(&"pass") => {
                        return f.write_str("the password is given by `pass`");
                    }
                    "username" if known.contains(&"user") => {
                        return f.write_str("the user is given by `user`");
                    }
                    "password" | "pass" | "pw" | "username" | "user" => f.write_str(
                        "user and password stand before the host, as in `redis://user:password@host`; ",
                    )?,
                    "db" => f.write_str("the database follows the host, as in `redis://host/1`; ")?,
                    _ => {}
                }
                let quoted: Vec<_> = known.iter().map(|name| format!("`{name}`")).collect();
                write!(f, "what it may have is {}", quoted.join(", "))
            }
            Self::NoPrimary => f.write_str(
                "it does not name the primary, as in `redis+sentinel://host:26379/primary-name/0`",
            ),
            Self::Refused(error) => fmt::Display::fmt(error, f),
            Self::Tls(error) => fmt::Display::fmt(error, f),
        }
    }
}

impl std::error::Error for Reason {}

/// The path of a socket, for messages.
pub(crate) fn shown(address: &ConnectionAddr) -> String {
    match address {
        ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
            format!("{host}:{port}")
        }
        ConnectionAddr::Unix(path) => PathBuf::from(path).display().to_string(),
        _ => "the server".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<Address, String> {
        let url: BusUrl = url.parse().unwrap();
        let parsed = Address::parse(&url, &TlsFiles::default());
        parsed.map_err(|error| crate::error::WithCauses(&error).to_string())
    }

    fn servers(url: &str) -> Vec<String> {
        match parse(url).unwrap() {
            Address::Servers(servers) => servers.iter().map(|it| shown(it.addr())).collect(),
            Address::Sentinels { .. } => panic!("no Sentinel is named"),
        }
    }

    #[test]
    fn one_server_or_several() {
        assert_eq!(servers("redis://u:p@a/3"), ["a:6379"]);
        assert_eq!(
            servers("rediss://u:p@a:1,[::1]:2,c/3?protocol=resp3"),
            ["a:1", "::1:2", "c:6379"]
        );
        assert_eq!(servers("redis+unix:///run/r.sock?db=3&user=u&pass=p"), ["/run/r.sock"]);
        assert_eq!(parse("redis://a,b/3").unwrap().database(), 3);
        assert_eq!(parse("unix:///run/r.sock?db=3").unwrap().database(), 3);
    }

    #[test]
    fn sentinels_and_the_name_of_the_primary() {
        let url = "rediss+sentinel://u:p%40@a,b:1,[::1]/orders/3?sentinel_pass=s%2F";
        let Ok(Address::Sentinels { sentinels, primary, login }) = parse(url) else {
            panic!("Sentinels are named")
        };
        let hosts: Vec<_> = sentinels.iter().map(|it| shown(it.addr())).collect();
        assert_eq!(hosts, ["a:26379", "b:1", "::1:26379"]);
        assert_eq!(primary, "orders");
        let settings = login.redis_settings();
        assert_eq!((settings.username(), settings.password()), (Some("u"), Some("p@")));
        assert_eq!(settings.db(), 3);
        assert_eq!(sentinels[0].redis_settings().password(), Some("s/"));
        assert!(matches!(sentinels[0].addr(), ConnectionAddr::TcpTls { .. }));
        let moved = at(&login, "c", 7);
        assert_eq!(shown(moved.addr()), "c:7");
        assert!(matches!(moved.addr(), ConnectionAddr::TcpTls { .. }));
    }

    #[test]
    fn what_is_wrong_is_said_with_the_remedy_and_without_the_password() {
        for (url, said) in [
            ("unix:///run/r.sock?password=hunter2", "the password is given by `pass`"),
            ("redis://h?password=hunter2", "as in `redis://user:password@host`"),
            ("redis://h?db=1", "as in `redis://host/1`"),
            ("redis://h?a&hunter2", "no parameter `a`"),
            ("redis://h?hunter2", "no parameter `…`"),
            ("redis+sentinel://:hunter2@h", "does not name the primary"),
            ("redis://:hunter2@h/x", "Invalid database number"),
        ] {
            let error = parse(url).unwrap_err();
            assert!(error.contains(said) && !error.contains("hunter2"), "{url}: {error}");
        }
    }
}
