//! `batch = 100` and `batch(max = 100, wait = "50ms")`

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Error, LitInt, Path, Result};

use super::value::Value;
use crate::{duration::Millis, options::Options};

/// How many events a subscriber takes at a time, and how long the first one waits for more.
#[derive(Debug, PartialEq)]
pub(super) struct Batch {
    pub(super) max: u16,
    pub(super) wait: Millis,
}

impl Value for Batch {
    fn expand(&self, krate: &Path) -> TokenStream {
        let Self { max, wait } = self;
        let max = usize::from(*max);
        quote!(::core::option::Option::Some(#krate::__private::Batch { max: #max, wait: #wait }))
    }
}

const MAX: u16 = 100;
const MOST: u16 = 10_000;
const WAIT: Millis = Millis(50);

/// Takes the option in either form, and says which others do not go with it.
pub(super) fn batch(options: &mut Options<'_>) -> Option<Batch> {
    if !options.has("batch") {
        for name in ["max", "wait"] {
            options.refuse(
                name,
                &format!("`{name}` is an option of `batch`: write `batch({name} = ..)`"),
            );
        }
    } else {
        for (name, why) in [
            (
                "ordered",
                "a batch is handled as a whole, whatever the keys in it: leave `ordered` out",
            ),
            (
                "idempotent",
                "the events of a batch are handled together, so that none can be skipped: \
                 leave `idempotent` or `batch` out",
            ),
            ("pattern", "a batch is of one type of event: leave `pattern` or `batch` out"),
        ] {
            options.contradict(name, why);
        }
    }
    match options.list("batch") {
        Some(mut list) => {
            let max = list.number("max", MAX.into(), max).unwrap_or(MAX);
            let wait = list.duration("wait", "50ms", |_| Ok(())).unwrap_or(WAIT);
            list.finish();
            Some(Batch { max, wait })
        }
        None => {
            let max = options.number("batch", MAX.into(), max)?;
            Some(Batch { max, wait: WAIT })
        }
    }
}

fn max(number: LitInt) -> Result<u16> {
    let message = match number.base10_parse() {
        Ok(max @ 2..=MOST) => return Ok(max),
        Ok(few @ 0..=1) => {
            format!("{few} is no batch: write 2 or more, or leave `batch` out")
        }
        _ => format!("a batch is of at most {MOST} events"),
    };
    Err(Error::new(number.span(), message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::errors::Errors;

    fn read(list: TokenStream) -> (Option<Batch>, Vec<String>) {
        let errors = Errors::default();
        let mut options = Options::new(&errors);
        options.read(list);
        (batch(&mut options), errors.messages())
    }

    #[test]
    fn everything_has_a_default() {
        assert_eq!(read(quote!()), (None, vec![]));
        for list in [quote!(batch()), quote!(batch = 100), quote!(batch(max = 100, wait = "50ms"))]
        {
            assert_eq!(read(list), (Some(Batch { max: 100, wait: Millis(50) }), vec![]));
        }
        let long = Batch { max: 10_000, wait: Millis(0) };
        assert_eq!(read(quote!(batch(max = 10_000, wait = "0s"))), (Some(long), vec![]));
    }

    #[test]
    fn a_batch_is_of_two_events_at_least() {
        for list in [quote!(batch = 0), quote!(batch(max = 0)), quote!(batch(max = 0, wait = "1s"))]
        {
            assert_eq!(read(list).1, ["0 is no batch: write 2 or more, or leave `batch` out"]);
        }
        assert_eq!(read(quote!(batch = 10_001)).1, ["a batch is of at most 10000 events"]);
    }

    #[test]
    fn an_option_in_the_wrong_list_is_sent_to_the_right_one() {
        assert_eq!(
            read(quote!(max = 100)).1,
            ["`max` is an option of `batch`: write `batch(max = ..)`"]
        );
    }
}
