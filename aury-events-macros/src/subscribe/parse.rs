//! From the tokens of a function to a [`Subscriber`]: every mistake that shows without knowing
//! types is found here.

use proc_macro2::TokenStream;
use syn::{
    Abi, Attribute, Error, Expr, FnArg, GenericParam, Generics, LitStr, Result, ReturnType, Safety,
    Signature, Token, Type, Visibility,
    parse::{Parse, ParseStream},
};

use super::{
    Subscriber, Topic,
    condition::condition,
    parameter::{Input, batch_input, event_first, extractor, input, is_unit},
    policies::policies,
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
    let is_batch = options.has("batch");
    let is_pattern = options.has("pattern");
    let policies = policies(&mut options);
    let pattern = options.string("pattern", "order.*", name::pattern);
    let retry_if = options.function("retry_if", "|error| error.is_timeout()");
    let krate = options.krate();
    options.finish();

    let Function { attrs, signature } = errors.keep(syn::parse2(function))?;
    check_kind(&signature, errors);
    check_generics(&signature.generics, errors);
    let output = output(&signature);
    if output.is_none() {
        errors.keep(no_errors_to_tell_apart(retry_if.as_ref()));
    }
    let parameters = errors.keep(parameters(&signature))?;
    errors.keep(event_first(&parameters))?;
    let mut parameters = parameters.into_iter();
    let input = if is_batch { batch_input } else { input };
    let input = parameters.next().and_then(|ty| errors.keep(input(ty)));
    let extractors = parameters.filter_map(|ty| errors.keep(extractor(ty))).collect();
    let topic = errors.keep(topic(input?, (is_pattern && !is_batch).then_some(pattern)))??;

    Some(Subscriber {
        krate,
        conditions: attrs.iter().filter_map(condition).collect(),
        function: signature.ident,
        topic,
        extractors,
        output,
        bus,
        name,
        when,
        retry_if,
        policies,
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

/// Refuses what a plain `async fn` does not have.
fn check_kind(signature: &Signature, errors: &Errors) {
    let Signature { constness, asyncness, safety, abi, fn_token, ident, variadic, .. } = signature;
    if asyncness.is_none() {
        errors.refuse(fn_token, format!("a subscriber is asynchronous: write `async fn {ident}`"));
    }
    if constness.is_some() {
        errors.refuse(constness, "a subscriber cannot be `const`: leave it out");
    }
    if let Safety::Unsafe(_) = safety {
        errors.refuse(
            safety,
            "a subscriber has to be safe to call: leave `unsafe` out, \
             and write an `unsafe` block inside",
        );
    }
    if abi.is_some() {
        errors.refuse(abi, "a subscriber is called from Rust only: leave `extern` out");
    }
    if variadic.is_some() {
        errors.refuse(variadic, "a subscriber takes one event and its extractors, no more");
    }
}

fn check_generics(generics: &Generics, errors: &Errors) {
    let is_lifetime = |param: &GenericParam| matches!(param, GenericParam::Lifetime(_));
    if generics.params.is_empty() {
        if let Some(bounds) = &generics.where_clause {
            errors.refuse(bounds, "a subscriber is not generic: leave `where` out");
        }
    } else if generics.params.iter().all(is_lifetime) {
        errors.refuse(generics, "an event is lent for one call: take `&E`, without a lifetime");
    } else {
        errors.refuse(
            generics,
            "a subscriber handles one type of event, so it cannot be generic: \
             write one function for each type, and let them share a generic one",
        );
    }
}

/// The return type, unless it is the one of a function that does not fail.
fn output(signature: &Signature) -> Option<Type> {
    match &signature.output {
        ReturnType::Default => None,
        ReturnType::Type(_, ty) => (!is_unit(ty)).then(|| Type::clone(ty)),
    }
}

fn no_errors_to_tell_apart(retry_if: Option<&Expr>) -> Result<()> {
    match retry_if {
        None => Ok(()),
        Some(retry_if) => Err(Error::new_spanned(
            retry_if,
            "a function that returns nothing has no errors to tell apart: \
             return `Result<(), E>`, or leave `retry_if` out",
        )),
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
fn topic(input: Input, pattern: Option<Option<LitStr>>) -> Result<Option<Topic>> {
    match (input, pattern) {
        (Input::AnyEvent(_), Some(pattern)) => Ok(pattern.map(Topic::Pattern)),
        (Input::AnyEvent(ty), None) => Err(Error::new_spanned(
            ty,
            "`&AnyEvent` is any event that a pattern matches: write the pattern, \
             `#[subscribe(pattern = \"order.*\")]`",
        )),
        (Input::Event { .. }, Some(Some(pattern))) => Err(Error::new_spanned(
            pattern,
            "a pattern goes with `&AnyEvent`: take that as the first parameter, \
             or leave `pattern` out",
        )),
        (Input::Event { ty, passed }, _) => Ok(Some(Topic::Event { ty, passed })),
    }
}

#[cfg(test)]
mod tests {
    use quote::quote;

    use super::*;
    use crate::subscribe::Passed;

    fn subscriber(options: TokenStream, function: TokenStream) -> Subscriber {
        let errors = Errors::default();
        let subscriber = parse(options, function, &errors);
        assert_eq!(errors.messages(), [""; 0]);
        subscriber.expect("it has no mistakes")
    }

    fn messages(options: TokenStream, function: TokenStream) -> Vec<String> {
        let errors = Errors::default();
        parse(options, function, &errors);
        errors.messages()
    }

    #[test]
    fn an_event_is_taken_by_reference_by_value_or_shared() {
        for (function, how) in [
            (
                quote!(
                    async fn f(event: &OrderCreated) {}
                ),
                Passed::ByReference,
            ),
            (
                quote!(
                    async fn f(event: &'_ orders::Created) {}
                ),
                Passed::ByReference,
            ),
            (
                quote!(
                    async fn f(mut event: OrderCreated) {}
                ),
                Passed::ByValue,
            ),
            (
                quote!(
                    async fn f(event: Arc<OrderCreated>) {}
                ),
                Passed::Shared,
            ),
            (
                quote!(
                    async fn f(event: std::sync::Arc<OrderCreated>) {}
                ),
                Passed::Shared,
            ),
        ] {
            match subscriber(quote!(), function).topic {
                Topic::Event { passed, .. } => assert_eq!(passed, how),
                Topic::Pattern(_) => panic!("no pattern was given"),
            }
        }
    }

    #[test]
    fn any_event_and_a_pattern_need_each_other() {
        let any = quote!(
            async fn audit(event: &aury_events::AnyEvent) {}
        );
        match subscriber(quote!(pattern = "order.*"), any.clone()).topic {
            Topic::Pattern(pattern) => assert_eq!(pattern.value(), "order.*"),
            Topic::Event { .. } => panic!("it takes any event"),
        }
        assert_eq!(
            messages(quote!(), any.clone()),
            ["`&AnyEvent` is any event that a pattern matches: write the pattern, \
              `#[subscribe(pattern = \"order.*\")]`"]
        );
        assert_eq!(
            messages(
                quote!(pattern = "order.*"),
                quote!(
                    async fn f(event: &OrderCreated) {}
                )
            ),
            ["a pattern goes with `&AnyEvent`: take that as the first parameter, \
              or leave `pattern` out"]
        );
        // The wrong pattern is the one mistake here.
        assert_eq!(messages(quote!(pattern = "order*"), any).len(), 1);
    }

    #[test]
    fn what_decides_whether_the_function_exists_is_kept() {
        let function = quote! {
            /// Documentation.
            #[cfg(feature = "mail")]
            #[cfg_attr(test, cfg(unix), tracing::instrument(skip(event, mailer)))]
            #[cfg_attr(unix, inline)]
            pub(crate) async fn f(event: &OrderCreated) {}
        };
        let conditions = subscriber(quote!(), function).conditions;
        let conditions: Vec<_> = conditions.iter().map(ToString::to_string).collect();
        let expected = [quote!(#[cfg(feature = "mail")]), quote!(#[cfg_attr(test, cfg(unix))])];
        assert_eq!(conditions, expected.map(|tokens| tokens.to_string()));
    }

    #[test]
    fn further_parameters_are_extractors() {
        let function = quote! {
            async fn f(event: &OrderCreated, State(mut mailer): State<Mailer>, _: Context) {}
        };
        assert_eq!(subscriber(quote!(), function).extractors.len(), 2);
    }

    #[test]
    fn every_mistake_in_a_function_is_reported() {
        let function = quote! {
            const unsafe extern "C" fn f<T>(event: &mut T, context: &Context) where T: Event {}
        };
        assert_eq!(
            messages(quote!(bus = "Domain", timeout = "0s"), function),
            [
                "a bus's name is in lower case: write \"domain\"",
                "a timeout is more than zero: leave `timeout` out for no limit",
                "a subscriber is asynchronous: write `async fn f`",
                "a subscriber cannot be `const`: leave it out",
                "a subscriber has to be safe to call: leave `unsafe` out, \
                 and write an `unsafe` block inside",
                "a subscriber is called from Rust only: leave `extern` out",
                "a subscriber handles one type of event, so it cannot be generic: \
                 write one function for each type, and let them share a generic one",
                "events are immutable: take `&E`, without `mut`",
                "only the event comes as a reference: take what follows it by value, without `&`",
            ]
        );
    }

    #[test]
    fn errors_are_told_apart_where_there_are_any() {
        let options = quote!(retry = 3, retry_if = is_transient);
        subscriber(
            options.clone(),
            quote!(
                async fn f(event: &OrderCreated) -> Result<(), MailError> {}
            ),
        );
        for infallible in [
            quote!(
                async fn f(event: &OrderCreated) {}
            ),
            quote!(
                async fn f(event: &OrderCreated) -> () {}
            ),
        ] {
            assert_eq!(
                messages(options.clone(), infallible),
                ["a function that returns nothing has no errors to tell apart: \
                  return `Result<(), E>`, or leave `retry_if` out"]
            );
        }
    }

    #[test]
    fn a_method_or_another_item_is_no_subscriber() {
        let one = |function| {
            let messages = messages(quote!(), function);
            assert_eq!(messages.len(), 1, "{messages:?}");
            messages.into_iter().next().unwrap()
        };
        assert!(
            one(quote!(
                async fn f(&self, event: &E) {}
            ))
            .starts_with("a subscriber is a free")
        );
        assert!(
            one(quote!(
                async fn f() {}
            ))
            .starts_with("a subscriber's first parameter is its")
        );
        for item in [
            quote!(
                pub struct S;
            ),
            quote!(
                const C: u8 = 1;
            ),
            quote!(impl S {}),
        ] {
            assert_eq!(one(item), "`#[subscribe]` goes on a free `async fn`");
        }
    }

    #[test]
    fn other_first_parameters_are_refused() {
        for (function, message) in [
            (
                quote!(
                    async fn f(event: AnyEvent) {}
                ),
                "take `&AnyEvent`",
            ),
            (
                quote!(
                    async fn f(event: Arc<AnyEvent>) {}
                ),
                "take `&AnyEvent`",
            ),
            (
                quote!(
                    async fn f(events: &[E]) {}
                ),
                "one event at a time: take `&E`",
            ),
            (
                quote!(
                    async fn f(event: &'static E) {}
                ),
                "lent for one call: take `&E`",
            ),
            (
                quote!(
                    async fn f(event: impl Event) {}
                ),
                "`impl` makes it so: name the type",
            ),
            (
                quote!(
                    async fn f(event: (A, B)) {}
                ),
                "take `E`, `&E` or `Arc<E>`",
            ),
            (
                quote!(
                    async fn f(event: &dyn Event) {}
                ),
                "take `E`, `&E` or `Arc<E>`",
            ),
            (
                quote!(
                    async fn f(event: &&E) {}
                ),
                "take `E`, `&E` or `Arc<E>`",
            ),
        ] {
            let messages = messages(quote!(), function);
            assert_eq!(messages.len(), 1, "{messages:?}");
            assert!(messages[0].contains(message), "{messages:?}");
        }
    }
}
