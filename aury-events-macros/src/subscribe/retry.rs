//! `retry = 3` and `retry(attempts = 3, delay = "2s", ..)`

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Error, LitInt, Path, Result};

use super::value::Value;
use crate::{duration::Millis, errors::Verdict, options::Options};

/// How often a subscriber is tried, and how long it waits in between.
#[derive(Debug, PartialEq)]
pub(super) struct Retry {
    /// In all, the first one included.
    pub(super) attempts: u32,
    pub(super) delay: Millis,
    /// `None` when the delay stays the same.
    pub(super) growth: Option<Growth>,
    pub(super) jitter: bool,
}

/// How the delay grows from one attempt to the next.
#[derive(Debug, PartialEq)]
pub(super) struct Growth {
    /// More than 1.
    pub(super) factor: f64,
    /// At least the delay.
    pub(super) max_delay: Millis,
}

impl Value for Retry {
    fn expand(&self, krate: &Path) -> TokenStream {
        let Self { attempts, delay, growth, jitter } = self;
        let growth = growth
            .as_ref()
            .map(|Growth { factor, max_delay }| quote!(.factor(#factor).max_delay(#max_delay)));
        quote! {
            ::core::option::Option::Some(
                #krate::Retry::attempts(#attempts).delay(#delay) #growth .jitter(#jitter)
            )
        }
    }
}

#[derive(PartialEq)]
enum Backoff {
    Fixed,
    Exponential,
}

const ATTEMPTS: u32 = 3;
const MAX_ATTEMPTS: u32 = 1_000;
const DELAY: Millis = Millis(2_000);
const FACTOR: f64 = 2.0;
const MAX_DELAY: Millis = Millis(60_000);

/// Takes the option in either form, and says which others are nothing without it.
pub(super) fn retry(options: &mut Options<'_>) -> Option<Retry> {
    if !options.has("retry") {
        options.contradict(
            "retry_if",
            "`retry_if` says which errors are worth a retry, and there is none: add `retry = 3`",
        );
    }
    for name in ["attempts", "delay", "backoff", "factor", "max_delay", "jitter"] {
        let why = format!("`{name}` is an option of `retry`: write `retry({name} = ..)`");
        options.refuse(name, &why);
    }
    match options.list("retry") {
        Some(list) => Some(policy(list)),
        None => {
            let attempts = options.number("retry", ATTEMPTS, attempts)?;
            Some(Retry { attempts, delay: DELAY, growth: None, jitter: false })
        }
    }
}

/// What the list says. Where it is wrong, which has been reported, the default stands in.
fn policy(mut list: Options<'_>) -> Retry {
    for name in ["retry_if", "timeout"] {
        list.refuse(name, &format!("`{name}` goes beside `retry`: move it out of the parentheses"));
    }
    let attempts = list.number("attempts", ATTEMPTS, attempts).unwrap_or(ATTEMPTS);
    let backoff = backoff(&mut list);
    let grows = backoff == Some(Backoff::Exponential);
    let delay = delay(&mut list, grows);
    let factor = list.decimal("factor", FACTOR, factor).unwrap_or(FACTOR);
    let max_delay = max_delay(&mut list, delay).unwrap_or(MAX_DELAY);
    let jitter = list.switch("jitter").unwrap_or(grows);
    list.finish();

    Retry {
        attempts,
        delay: delay.unwrap_or(DELAY),
        growth: grows.then_some(Growth { factor, max_delay }),
        jitter,
    }
}

fn attempts(number: LitInt) -> Result<u32> {
    let message = match number.base10_parse() {
        Ok(attempts @ 2..=MAX_ATTEMPTS) => return Ok(attempts),
        Ok(few @ 0..=1) => format!(
            "attempts include the first one, so {few} is no retry: \
             write 2 or more, or leave `retry` out"
        ),
        _ => format!("attempts are at most {MAX_ATTEMPTS}"),
    };
    Err(Error::new(number.span(), message))
}

/// `None` when what is written is wrong.
fn backoff(list: &mut Options<'_>) -> Option<Backoff> {
    let is_default = !list.has("backoff");
    let backoff = list.string("backoff", "exponential", |text| match text.value().as_str() {
        "fixed" => Ok(Backoff::Fixed),
        "exponential" => Ok(Backoff::Exponential),
        _ => Err(Error::new(text.span(), "a back-off is \"fixed\" or \"exponential\"")),
    });
    let backoff = backoff.or(is_default.then_some(Backoff::Fixed));
    if backoff == Some(Backoff::Fixed) {
        for name in ["factor", "max_delay"] {
            let why =
                format!("`{name}` is for a delay that grows: add `backoff = \"exponential\"`");
            list.contradict(name, &why);
        }
    }
    backoff
}

/// `None` when what is written is wrong.
fn delay(list: &mut Options<'_>, grows: bool) -> Option<Millis> {
    let is_default = !list.has("delay");
    let is_capped = list.has("max_delay");
    let delay = list.duration("delay", "2s", |delay| {
        if grows && delay == Millis(0) {
            Err("a delay of nothing does not grow: write `delay = \"100ms\"` or more".to_owned())
        } else if grows && !is_capped && delay > MAX_DELAY {
            Err("a delay grows to `max_delay`, which is \"1m\" unless written: add a longer one"
                .to_owned())
        } else {
            Ok(())
        }
    });
    delay.or(is_default.then_some(DELAY))
}

fn factor(factor: f64) -> Verdict {
    if factor > 1.0 && factor.is_finite() {
        Ok(())
    } else {
        Err("a delay grows by a factor of more than 1: write `factor = 2.0`".to_owned())
    }
}

fn max_delay(list: &mut Options<'_>, delay: Option<Millis>) -> Option<Millis> {
    list.duration("max_delay", "1m", |max_delay| {
        if delay.is_some_and(|delay| max_delay < delay) {
            Err("`max_delay` is at least `delay`, which is \"2s\" unless written".to_owned())
        } else {
            Ok(())
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::errors::Errors;

    fn read(list: TokenStream) -> (Option<Retry>, Vec<String>) {
        let errors = Errors::default();
        let mut options = Options::new(&errors);
        options.read(list);
        let retry = retry(&mut options);
        options.function("retry_if", "is_transient");
        options.finish();
        (retry, errors.messages())
    }

    fn policy(list: TokenStream) -> Retry {
        let (retry, messages) = read(list);
        assert_eq!(messages, [""; 0]);
        retry.expect("it is written")
    }

    fn messages(list: TokenStream) -> Vec<String> {
        read(quote!(retry(#list))).1
    }

    #[test]
    fn everything_has_a_default() {
        assert_eq!(read(quote!()), (None, vec![]));
        let default = Retry { attempts: 3, delay: Millis(2_000), growth: None, jitter: false };
        for list in [quote!(retry = 3), quote!(retry()), quote!(retry(backoff = "fixed"))] {
            assert_eq!(policy(list), default);
        }
        assert_eq!(
            policy(quote!(retry(backoff = "exponential"))),
            Retry {
                growth: Some(Growth { factor: 2.0, max_delay: Millis(60_000) }),
                jitter: true,
                ..default
            }
        );
    }

    #[test]
    fn everything_may_be_written() {
        assert_eq!(
            policy(quote!(retry(
                attempts = 1_000,
                delay = "1500ms",
                backoff = "exponential",
                factor = 3,
                max_delay = "1h",
                jitter = false,
            ))),
            Retry {
                attempts: 1_000,
                delay: Millis(1_500),
                growth: Some(Growth { factor: 3.0, max_delay: Millis(3_600_000) }),
                jitter: false,
            }
        );
        for list in [quote!(retry(jitter)), quote!(retry(jitter = true))] {
            assert!(policy(list).jitter);
        }
        assert_eq!(policy(quote!(retry(delay = "0s"))).delay, Millis(0));
    }

    #[test]
    fn attempts_include_the_first_one() {
        for list in [quote!(retry = 1), quote!(retry(attempts = 1))] {
            assert_eq!(
                read(list).1,
                ["attempts include the first one, so 1 is no retry: \
                  write 2 or more, or leave `retry` out"]
            );
        }
        for many in [quote!(1001), quote!(99999999999999999999)] {
            assert_eq!(read(quote!(retry = #many)).1, ["attempts are at most 1000"]);
        }
    }

    #[test]
    fn only_a_delay_that_grows_has_a_factor_and_a_limit() {
        for list in [
            quote!(factor = 2, max_delay = "1m"),
            quote!(backoff = "fixed", factor = 2, max_delay = "1m"),
        ] {
            assert_eq!(
                messages(list),
                [
                    "`factor` is for a delay that grows: add `backoff = \"exponential\"`",
                    "`max_delay` is for a delay that grows: add `backoff = \"exponential\"`",
                ]
            );
        }
        // What is misspelt may have been meant to grow.
        assert_eq!(
            messages(quote!(backoff = "exponentail", factor = 2)),
            ["a back-off is \"fixed\" or \"exponential\""]
        );
    }

    #[test]
    fn a_delay_has_room_to_grow() {
        for (list, message) in [
            (quote!(delay = "0s"), "a delay of nothing does not grow"),
            (quote!(delay = "61s"), "unless written: add a longer one"),
            (quote!(delay = "2m", max_delay = "1m"), "`max_delay` is at least `delay`"),
            (quote!(max_delay = "1s"), "which is \"2s\" unless written"),
            (quote!(factor = 1), "a factor of more than 1"),
            (quote!(factor = 1e999), "a factor of more than 1"),
            (quote!(factor = "2"), "`factor` takes a number: write `factor = 2.0`"),
            // The delay alone is wrong.
            (quote!(delay = "2", max_delay = "1s"), "write \"2s\""),
        ] {
            let messages = messages(quote!(backoff = "exponential", #list));
            assert_eq!(messages.len(), 1, "{messages:?}");
            assert!(messages[0].contains(message), "{messages:?}");
        }
    }

    #[test]
    fn an_option_in_the_wrong_list_is_sent_to_the_right_one() {
        assert_eq!(
            read(quote!(retry = 3, delay = "2s", retry_if = is_transient)).1,
            ["`delay` is an option of `retry`: write `retry(delay = ..)`"]
        );
        assert_eq!(
            messages(quote!(timeout = "30s", dealy = "2s")),
            [
                "`timeout` goes beside `retry`: move it out of the parentheses",
                "unknown option `dealy`: did you mean `delay`?\nvalid options of `retry`: \
                 `attempts`, `backoff`, `delay`, `factor`, `max_delay`, `jitter`",
            ]
        );
    }

    #[test]
    fn errors_are_told_apart_where_something_is_retried() {
        assert_eq!(
            read(quote!(retry_if = is_transient)).1,
            ["`retry_if` says which errors are worth a retry, and there is none: \
              add `retry = 3`"]
        );
        // The number is the one mistake here.
        assert_eq!(read(quote!(retry = 0, retry_if = is_transient)).1.len(), 1);
    }
}
