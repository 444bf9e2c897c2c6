//! How a broker URL is shown: without its password, and without the values of its parameters.

use std::fmt;

use super::url::{BusUrl, Parts};

impl fmt::Display for BusUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Parts { authority, path, query } = self.parts();
        write!(f, "{}://", self.scheme())?;
        match authority.rsplit_once('@') {
            None => f.write_str(authority)?,
            // What stands alone before the `@` may be a token. A user name with an `@` in it is none.
            Some((userinfo, hosts)) => match userinfo.split_once(':') {
                Some((user, _)) if !user.contains('@') => write!(f, "{user}:***@{hosts}")?,
                _ => write!(f, "***@{hosts}")?,
            },
        }
        f.write_str(path)?;
        query.map_or(Ok(()), |query| write_query(f, query))
    }
}

/// Writes the name of the first parameter. Any value may be a secret, and what follows it a part of that: a secret may
/// hold an `&` that is not encoded.
fn write_query(f: &mut fmt::Formatter<'_>, query: &str) -> fmt::Result {
    match query.split_once('=') {
        Some((name, _)) if is_plain(name) => write!(f, "?{name}=***"),
        _ => f.write_str("?***"),
    }
}

fn is_plain(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c))
}

impl fmt::Debug for BusUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BusUrl").field(&format_args!("{self}")).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_secret_is_shown() {
        for (text, shown) in [
            ("redis://localhost", "redis://localhost"),
            ("REDISS://cache.local:6379/0", "rediss://cache.local:6379/0"),
            ("redis://user:pw@host:6379/0", "redis://user:***@host:6379/0"),
            ("redis://:pw@host", "redis://:***@host"),
            ("redis://token@host", "redis://***@host"),
            ("redis://us@er:pw@host", "redis://***@host"),
            ("amqps://shop:p@s:s@[::1]:5671/v%40h", "amqps://shop:***@[::1]:5671/v%40h"),
            ("amqp://shop:pw@host/%2F?heartbeat=10", "amqp://shop:***@host/%2F?heartbeat=***"),
            ("redis://host?protocol=resp3&x=1&db=2", "redis://host?protocol=***"),
            ("redis://host?db=1;pass=pw", "redis://host?db=***"),
            ("redis://host?pw", "redis://host?***"),
            ("unix:///r.sock?db=1&user=me&pass=p@w&x", "unix:///r.sock?db=***"),
            ("redis+unix:///r.sock?p%61ss=pw", "redis+unix:///r.sock?***"),
            ("nats://a:1,b:2", "nats://a:1,b:2"),
        ] {
            let url = BusUrl::parse(text).unwrap();
            assert_eq!(url.to_string(), shown);
            assert_eq!(format!("{url:?}"), format!("BusUrl({shown})"));
        }
    }

    /// Every password of up to four characters over an alphabet of delimiters, a letter and a digit. The letter and
    /// the digit occur nowhere else in the URLs, so that neither may occur in what is shown.
    #[test]
    fn no_part_of_any_password_is_ever_shown() {
        const ALPHABET: [char; 10] = ['Z', '7', '@', ':', '/', '?', '#', '&', '=', '%'];
        const URLS: [&str; 5] = [
            "redis://user:{}@host:6380/0",
            "redis://:{}@host?db=1",
            "amqp://user:{}@[::1]/vhost",
            "redis+unix:///run/redis.sock?db=1&pass={}",
            "redis+unix:///run/redis.sock?password={}&db=1",
        ];
        let mut accepted = 0;
        for length in 1..=4 {
            for number in 0..ALPHABET.len().pow(length) {
                let password: String = (0..length)
                    .map(|place| ALPHABET[number / ALPHABET.len().pow(place) % ALPHABET.len()])
                    .collect();
                for url in URLS {
                    let url = url.replace("{}", &password);
                    let shown = match BusUrl::parse(&url) {
                        Ok(url) => {
                            accepted += 1;
                            format!("{url} {url:?} {url:#?}")
                        }
                        Err(error) => format!("{error} {error:?}"),
                    };
                    assert!(!shown.contains(['Z', '7']), "{url} is shown as {shown}");
                }
            }
        }
        assert!(accepted > 20_000, "only {accepted} of the URLs were accepted");
    }
}
