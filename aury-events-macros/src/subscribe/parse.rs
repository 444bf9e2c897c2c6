//! From the tokens of a function to a [`Subscriber`]: every mistake that shows without knowing
//! types is found here.

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::{
    Abi, Attribute, Error, FnArg, LitStr, Result, ReturnType, Signature, Token, Type, Visibility,
    parse::{Parse, ParseStream},
};

use super::{
    Subscriber, Topic,
    condition::condition,
    parameter::{Input, extractor, input},
};
use crate::{errors::Errors, name, options::Options};

/// The subscriber that the function is meant to be; `None` when that cannot be told.
pub(super) fn parse(
    list: TokenStream,
    function: TokenStream,
    errors: &Errors,
) -> Option<Subscriber> {
    let mut options = Options::new(errors);
    options.read(list);
    let bus = options.string("bus", "domain", name::bus_name);
    let name = options.string("name", "send-order-mail", name::subscriber_name);
    let when = options.function("when", "|event| event.amount > 100.0");
    let is_pattern = options.has("pattern");
    let pattern = options.string("pattern", "order.*", name::pattern);
    let durable = options.flag("durable").is_some();
    let krate = options.krate();
    options.finish();

    let Function { attrs, signature } = errors.keep(syn::parse2(function))?;
    check_kind(&signature, errors);
    let mut parameters = errors.keep(parameters(&signature))?.into_iter();
    let input = parameters.next().and_then(|ty| errors.keep(input(ty)));
    let extractors = parameters
        .filter_map(|ty| errors.keep(extractor(ty)))
        .collect();
    let topic = topic(input?, is_pattern.then_some(pattern), errors)?;

    Some(Subscriber {
        krate,
        conditions: attrs.iter().filter_map(condition).collect(),
        function: signature.ident,
        topic,
        extractors,
        output: match signature.output {
            ReturnType::Default => None,
            ReturnType::Type(_, ty) => Some(*ty),
        },
        bus,
        name,
        when,
        durable,
    })
}

/// What is read of a function; its body is its own business.
struct Function {
    attrs: Vec<Attribute>,
    signature: Signature,
}

impl Parse for Function {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let attrs = input.call(Attribute::parse_outer)?;
        input.parse::<Visibility>()?;
        if !is_function(&input.fork())? {
            return Err(input.error("`#[subscribe]` goes on a free `async fn`"));
        }
        let signature = input.parse()?;
        input.parse::<TokenStream>()?;
        Ok(Function { attrs, signature })
    }
}

/// Whether the keywords ahead lead to `fn`.
fn is_function(ahead: ParseStream<'_>) -> Result<bool> {
    ahead.parse::<Option<Token![const]>>()?;
    ahead.parse::<Option<Token![async]>>()?;
    ahead.parse::<Option<Token![unsafe]>>()?;
    ahead.parse::<Option<Abi>>()?;
    Ok(ahead.peek(Token![fn]))
}

/// Refuses what a plain `async fn` does not have in front of its parameters or after them.
fn check_kind(signature: &Signature, errors: &Errors) {
    let Signature {
        constness,
        asyncness,
        safety,
        abi,
        fn_token,
        generics,
        variadic,
        ..
    } = signature;
    if asyncness.is_none() {
        let message = format!(
            "a subscriber is asynchronous: write `async fn {}`",
            signature.ident
        );
        errors.add(Error::new_spanned(fn_token, message));
    }
    for (culprit, message) in [
        (
            constness.to_token_stream(),
            "a subscriber cannot be `const`: leave it out",
        ),
        (
            safety.to_token_stream(),
            "nobody can vouch for a call that an event makes: \
             leave `unsafe` out here, and write an `unsafe` block inside",
        ),
        (
            abi.to_token_stream(),
            "a subscriber is called from Rust only: leave `extern` out",
        ),
        (
            generics.to_token_stream(),
            "a subscriber handles one type of event, so it cannot be generic: \
             write one function for each type, and let them share a generic one",
        ),
        (
            generics.where_clause.to_token_stream(),
            "a subscriber is not generic: leave the `where` clause out",
        ),
        (
            variadic.to_token_stream(),
            "a subscriber takes one event and its extractors, no more",
        ),
    ] {
        if !culprit.is_empty() {
            errors.add(Error::new_spanned(culprit, message));
        }
    }
}

/// The parameters' types, of which there is at least one.
fn parameters(signature: &Signature) -> Result<Vec<&Type>> {
    if signature.inputs.is_empty() {
        return Err(Error::new(
            signature.paren_token.span.join(),
            format!(
                "a subscriber's first parameter is its event: write `{}(event: &OrderCreated)`",
                signature.ident
            ),
        ));
    }
    signature.inputs.iter().map(parameter).collect()
}

fn parameter(input: &FnArg) -> Result<&Type> {
    match input {
        FnArg::Typed(typed) => Ok(&typed.ty),
        FnArg::Receiver(receiver) => Err(Error::new_spanned(
            receiver,
            "a subscriber is a free function: move it out of the `impl`, \
             and take what `self` holds as `State<T>`",
        )),
    }
}

/// What the first parameter and the pattern, where one is written, say together.
///
/// A pattern that is written but wrong has been reported, and comes as `Some(None)`.
fn topic(input: Input, pattern: Option<Option<LitStr>>, errors: &Errors) -> Option<Topic> {
    match (input, pattern) {
        (Input::AnyEvent(_), Some(pattern)) => pattern.map(Topic::Pattern),
        (Input::AnyEvent(ty), None) => {
            let message = "`&AnyEvent` is any event that a pattern matches: write the pattern, \
                           `#[subscribe(pattern = \"order.*\")]`";
            errors.add(Error::new_spanned(ty, message));
            None
        }
        (Input::Event { .. }, Some(Some(pattern))) => {
            let message = "a pattern goes with `&AnyEvent`: take that as the first parameter, \
                           or leave `pattern` out";
            errors.add(Error::new_spanned(pattern, message));
            None
        }
        (Input::Event { ty, passed }, _) => Some(Topic::Event { ty, passed }),
    }
}
