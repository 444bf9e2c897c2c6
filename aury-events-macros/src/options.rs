//! Lists of options, as in `#[subscribe(bus = "domain", durable)]`.
//!
//! A list is read once, whatever its options mean; the item that owns it then takes the options it
//! knows, one by one. So an option is declared by the line that takes it, and what nobody has taken
//! in the end is unknown.

use proc_macro2::{Group, Ident, TokenStream, TokenTree};
use quote::ToTokens;
use syn::{
    Error, Expr, ExprLit, ExprPath, Lit, LitInt, LitStr, Path, Result, Token,
    ext::IdentExt as _,
    parse::{ParseStream, Parser as _, discouraged::Speculative as _},
    parse_quote, token,
};

use crate::{
    duration::{Millis, duration},
    errors::{Errors, Verdict},
    nearest::nearest,
};

/// The options written on one item, until they are taken.
pub(crate) struct Options<'errors> {
    /// The option whose list this is, if it is one within another.
    of: Option<&'static str>,
    given: Vec<Given>,
    /// Tokens that stand where an option's name should.
    strays: Vec<TokenTree>,
    /// The names that were asked for, which are the valid ones.
    known: Vec<&'static str>,
    errors: &'errors Errors,
}

struct Given {
    name: Ident,
    value: Value,
}

enum Value {
    /// `name`
    Absent,
    /// `name = value`
    Expr(Expr),
    /// `name(..)`
    List(Group),
    /// What no option takes: `name = order.*`, `name["x"]`.
    Unreadable(TokenStream),
}

impl<'errors> Options<'errors> {
    pub(crate) fn new(errors: &'errors Errors) -> Self {
        Options { of: None, given: Vec::new(), strays: Vec::new(), known: Vec::new(), errors }
    }

    /// Reads one list; an item may have several, which count as one.
    pub(crate) fn read(&mut self, list: TokenStream) {
        let errors = self.errors;
        let read = |input: ParseStream<'_>| {
            while !input.is_empty() {
                match input.call(Ident::parse_any) {
                    Ok(name) => self.add(Given { name, value: value(input)? }),
                    Err(_) => self.strays.extend(tokens_before_comma(input)?.into_iter().next()),
                }
                errors.keep(end_of_option(input));
            }
            Ok(())
        };
        errors.keep(read.parse2(list));
    }

    fn add(&mut self, given: Given) {
        if self.given.iter().any(|earlier| earlier.name == given.name) {
            let message = format!("`{}` is given twice: keep one of them", given.name);
            self.errors.refuse(given.name, message);
        } else {
            self.given.push(given);
        }
    }

    /// Whether the option is there and not yet taken, be its value right or wrong.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.given(name).is_some()
    }

    /// `name = "example"`, with the rules for what the string says.
    pub(crate) fn string<T>(
        &mut self,
        name: &'static str,
        example: &str,
        parse: impl FnOnce(LitStr) -> Result<T>,
    ) -> Option<T> {
        self.value(name, "a string", &format!("{example:?}"), |value| match value {
            Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(parse(text)),
            _ => None,
        })
    }

    /// `name = 2`, with the rules for the number.
    pub(crate) fn number<T>(
        &mut self,
        name: &'static str,
        example: u32,
        parse: impl FnOnce(LitInt) -> Result<T>,
    ) -> Option<T> {
        self.value(name, "a whole number", &example.to_string(), |value| match value {
            Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) => Some(parse(number)),
            _ => None,
        })
    }

    /// `name = 1.5` or `name = 2`, with the rules for the number.
    pub(crate) fn decimal(
        &mut self,
        name: &'static str,
        example: f64,
        rules: impl FnOnce(f64) -> Verdict,
    ) -> Option<f64> {
        self.value(name, "a number", &format!("{example:?}"), |value| match value {
            Expr::Lit(ExprLit { lit, .. }) => {
                let number = match &lit {
                    Lit::Float(number) => number.base10_parse(),
                    Lit::Int(number) => number.base10_parse(),
                    _ => return None,
                };
                Some(number.and_then(|number| keeping(rules, number, &lit)))
            }
            _ => None,
        })
    }

    /// `name = "2s"`, with the rules for how long.
    pub(crate) fn duration(
        &mut self,
        name: &'static str,
        example: &str,
        rules: impl FnOnce(Millis) -> Verdict,
    ) -> Option<Millis> {
        self.value(name, "a duration", &format!("{example:?}"), |value| match value {
            Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => {
                Some(duration(&text).and_then(|duration| keeping(rules, duration, &text)))
            }
            _ => None,
        })
    }

    /// `name = path::to::something`
    pub(crate) fn path(&mut self, name: &'static str, example: &str) -> Option<Path> {
        self.value(name, "a path", example, |value| match value {
            Expr::Path(ExprPath { qself: None, path, .. }) => Some(Ok(path)),
            _ => None,
        })
    }

    /// `name = |argument| ..` or `name = path::to::function`
    pub(crate) fn function(&mut self, name: &'static str, example: &str) -> Option<Expr> {
        self.value(name, "a closure or a function's path", example, |value| match value {
            Expr::Closure(_) | Expr::Path(_) => Some(Ok(value)),
            _ => None,
        })
    }

    /// `name`, by itself; the identifier tells where it stands.
    pub(crate) fn flag(&mut self, name: &'static str) -> Option<Ident> {
        let Given { name, value } = self.take(name)?;
        if let Some(tokens) = value.tokens() {
            let message = format!("`{name}` takes no value: write `{name}`, or leave it out");
            self.errors.refuse(tokens, message);
        }
        Some(name)
    }

    /// Whether the option is there, not yet taken, and without a value.
    pub(crate) fn is_bare(&self, name: &str) -> bool {
        matches!(self.given(name), Some(Given { value: Value::Absent, .. }))
    }

    /// `name`, `name = true` or `name = false`
    pub(crate) fn switch(&mut self, name: &'static str) -> Option<bool> {
        if self.is_bare(name) {
            self.take(name);
            return Some(true);
        }
        self.value(name, "`true` or `false`", "true", |value| match value {
            Expr::Lit(ExprLit { lit: Lit::Bool(switch), .. }) => Some(Ok(switch.value)),
            _ => None,
        })
    }

    /// `name(option = value, ..)`: the options in there. Left untaken when written in another way.
    pub(crate) fn list(&mut self, name: &'static str) -> Option<Options<'errors>> {
        let Value::List(list) = &self.given(name)?.value else {
            return None;
        };
        let mut options = Options { of: Some(name), ..Options::new(self.errors) };
        options.read(list.stream());
        self.take(name);
        Some(options)
    }

    /// `crate = path`: where the user's crate finds aury-events, for those who re-export it.
    pub(crate) fn krate(&mut self) -> Path {
        self.path("crate", "path::to::aury_events").unwrap_or_else(|| parse_quote!(::aury_events))
    }

    /// Says why an option that users may well try does not belong here.
    pub(crate) fn refuse(&mut self, name: &'static str, why: &str) {
        if let Some(given) = self.take_unlisted(name) {
            self.errors.refuse(given.name, why);
        }
    }

    /// Says why an option does not go with the others, where it is there. It is still to be taken.
    pub(crate) fn contradict(&self, name: &str, why: &str) {
        if let Some(given) = self.given(name) {
            self.errors.refuse(&given.name, why);
        }
    }

    /// Reports what nobody has taken.
    pub(crate) fn finish(self) {
        let known: Vec<String> = self.known.iter().map(|name| format!("`{name}`")).collect();
        let of = self.of.map(|name| format!(" of `{name}`")).unwrap_or_default();
        let known = format!("valid options{of}: {}", known.join(", "));
        for stray in self.strays {
            self.errors.refuse(stray, format!("expected `option = value`\n{known}"));
        }
        for Given { name, .. } in self.given {
            let hint = nearest(&name.to_string(), &self.known)
                .map(|near| format!(": did you mean `{near}`?"))
                .unwrap_or_default();
            self.errors.refuse(&name, format!("unknown option `{name}`{hint}\n{known}"));
        }
    }

    fn value<T>(
        &mut self,
        name: &'static str,
        expected: &str,
        example: &str,
        read: impl FnOnce(Expr) -> Option<Result<T>>,
    ) -> Option<T> {
        let Given { name, value } = self.take(name)?;
        let wrong = match value {
            Value::Expr(value) => {
                let tokens = value.to_token_stream();
                match read(ungrouped(value)) {
                    Some(result) => return self.errors.keep(result),
                    None => tokens,
                }
            }
            Value::Absent => name.to_token_stream(),
            Value::List(list) => list.to_token_stream(),
            Value::Unreadable(tokens) => tokens,
        };
        let message = format!("`{name}` takes {expected}: write `{name} = {example}`");
        self.errors.refuse(wrong, message);
        None
    }

    fn take(&mut self, name: &'static str) -> Option<Given> {
        self.known.push(name);
        self.take_unlisted(name)
    }

    fn given(&self, name: &str) -> Option<&Given> {
        self.given.iter().find(|given| given.name == name)
    }

    fn take_unlisted(&mut self, name: &str) -> Option<Given> {
        let index = self.given.iter().position(|given| given.name == name)?;
        Some(self.given.remove(index))
    }
}

impl Value {
    fn tokens(&self) -> Option<TokenStream> {
        match self {
            Value::Absent => None,
            Value::Expr(value) => Some(value.to_token_stream()),
            Value::List(list) => Some(list.to_token_stream()),
            Value::Unreadable(tokens) => Some(tokens.clone()),
        }
    }
}

/// The value, if it keeps the rules.
fn keeping<T: Copy>(
    rules: impl FnOnce(T) -> Verdict,
    value: T,
    literal: &impl ToTokens,
) -> Result<T> {
    rules(value).map_err(|message| Error::new_spanned(literal, message))?;
    Ok(value)
}

/// What an option's name is followed by.
fn value(input: ParseStream<'_>) -> Result<Value> {
    let assigned = input.parse::<Option<Token![=]>>()?.is_some();
    if input.is_empty() || input.peek(Token![,]) {
        return Ok(Value::Absent);
    }
    if !assigned && input.peek(token::Paren) {
        return Ok(Value::List(input.parse()?));
    }
    // A closure holds commas of its own, so an expression is tried before looking for the comma.
    let ahead = input.fork();
    match ahead.parse::<Expr>() {
        Ok(value) if assigned => {
            input.advance_to(&ahead);
            Ok(Value::Expr(value))
        }
        _ => Ok(Value::Unreadable(tokens_before_comma(input)?)),
    }
}

/// Steps over the comma, and over whatever stands before it and belongs to no option.
fn end_of_option(input: ParseStream<'_>) -> Result<()> {
    let surplus = tokens_before_comma(input)?;
    input.parse::<Option<Token![,]>>()?;
    match surplus.into_iter().next() {
        Some(token) => Err(Error::new(token.span(), "expected `,` before this")),
        None => Ok(()),
    }
}

fn tokens_before_comma(input: ParseStream<'_>) -> Result<TokenStream> {
    let mut tokens = TokenStream::new();
    while !input.is_empty() && !input.peek(Token![,]) {
        tokens.extend([input.parse::<TokenTree>()?]);
    }
    Ok(tokens)
}

/// The expression itself, when a `macro_rules!` macro passed it on in an invisible group.
fn ungrouped(value: Expr) -> Expr {
    match value {
        Expr::Group(group) => ungrouped(*group.expr),
        value => value,
    }
}

#[cfg(test)]
mod tests {
    use quote::quote;

    use super::*;

    struct Taken {
        bus: Option<String>,
        durable: bool,
        messages: Vec<String>,
    }

    fn take(list: TokenStream) -> Taken {
        let errors = Errors::default();
        let mut options = Options::new(&errors);
        options.read(list);
        let bus = options.string("bus", "domain", |text| Ok(text.value()));
        let durable = options.flag("durable").is_some();
        options.function("when", "|event| event.amount > 100.0");
        options.finish();
        Taken { bus, durable, messages: errors.messages() }
    }

    #[test]
    fn options_come_in_any_order_and_with_a_trailing_comma() {
        let taken = take(quote!(durable, when = |a, b| a, bus = "domain",));
        assert_eq!(taken.bus.as_deref(), Some("domain"));
        assert!(taken.durable);
        assert!(taken.messages.is_empty());
        assert!(take(quote!()).messages.is_empty());
    }

    #[test]
    fn an_unknown_option_is_answered_with_the_valid_ones() {
        assert_eq!(
            take(quote!(buss = "domain")).messages,
            ["unknown option `buss`: did you mean `bus`?\nvalid options: `bus`, `durable`, `when`"],
        );
        assert_eq!(
            take(quote!(OrderCreated)).messages,
            ["unknown option `OrderCreated`\nvalid options: `bus`, `durable`, `when`"],
        );
        assert_eq!(
            take(quote!("order.created")).messages,
            ["expected `option = value`\nvalid options: `bus`, `durable`, `when`"],
        );
    }

    #[test]
    fn a_wrong_value_is_answered_with_a_right_one() {
        for list in [
            quote!(bus),
            quote!(bus =),
            quote!(bus = 7),
            quote!(bus = domain),
            quote!(bus = order.*),
            quote!(bus("domain")),
            quote!(bus: "domain"),
        ] {
            assert_eq!(take(list).messages, ["`bus` takes a string: write `bus = \"domain\"`"]);
        }
        for list in [quote!(durable = true), quote!(durable(true)), quote!(durable())] {
            assert_eq!(
                take(list).messages,
                ["`durable` takes no value: write `durable`, or leave it out"],
            );
        }
    }

    #[test]
    fn an_option_may_be_a_list_of_its_own() {
        let read = |list: TokenStream| {
            let errors = Errors::default();
            let mut options = Options::new(&errors);
            options.read(list);
            let taken = options.list("retry").map(|mut list| {
                let taken = (list.decimal("factor", 2.0, |_| Ok(())), list.switch("jitter"));
                list.finish();
                taken
            });
            (taken, errors.messages())
        };
        assert_eq!(read(quote!(retry())), (Some((None, None)), vec![]));
        assert_eq!(
            read(quote!(retry(factor = 0x3, jitter))),
            (Some((Some(3.0), Some(true))), vec![])
        );
        assert_eq!(read(quote!(retry(jitter = false,))), (Some((None, Some(false))), vec![]));
        // These are no lists, and left for another to take.
        for other in [quote!(retry), quote!(retry = 3), quote!(retry = (3)), quote!(retry[3])] {
            assert_eq!(read(other), (None, vec![]));
        }
        assert_eq!(
            read(quote!(retry(factor = "2", jitter = 1, jitter, 7) x)).1,
            [
                "expected `,` before this",
                "`jitter` is given twice: keep one of them",
                "`factor` takes a number: write `factor = 2.0`",
                "`jitter` takes `true` or `false`: write `jitter = true`",
                "expected `option = value`\nvalid options of `retry`: `factor`, `jitter`",
            ],
        );
    }

    #[test]
    fn every_mistake_in_a_list_is_reported() {
        assert_eq!(
            take(quote!(bus = "a" durable, bus = "b", durable(1), other)).messages,
            [
                "expected `,` before this",
                "`bus` is given twice: keep one of them",
                "`durable` takes no value: write `durable`, or leave it out",
                "unknown option `other`\nvalid options: `bus`, `durable`, `when`",
            ],
        );
    }

    #[test]
    fn a_value_may_come_from_a_macro_in_an_invisible_group() {
        let text: TokenTree =
            proc_macro2::Group::new(proc_macro2::Delimiter::None, quote!("domain")).into();
        assert_eq!(take(quote!(bus = #text)).bus.as_deref(), Some("domain"));
    }
}
