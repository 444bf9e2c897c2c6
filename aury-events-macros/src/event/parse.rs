//! From the tokens of a type to an [`Event`]: every mistake a user can make is found here.

use proc_macro2::{Ident, TokenStream};
use quote::ToTokens as _;
use syn::{
    Attribute, Data, DataEnum, DataStruct, DeriveInput, Error, Field, GenericParam, Generics,
    LitInt, LitStr, Meta, Path, Result, ext::IdentExt as _,
};

use super::{Event, Key};
use crate::{dotted::dotted, errors::Errors, name, options::Options};

/// The event that the type is meant to be; `None` when a type of its kind cannot be one.
pub(super) fn parse(input: TokenStream, errors: &Errors) -> Option<Event> {
    let DeriveInput { attrs, ident, generics, data, .. } = errors.keep(syn::parse2(input))?;

    let mut options = read_options(&attrs, "name = \"order.created\"", errors);
    let name = name(&ident, &mut options, errors);
    let version = options.number("version", 2, version);
    let bus = options.string("bus", "domain", name::bus_name);
    let krate = options.krate();
    let field = key(&data, errors);
    let key = key_function(&mut options, field.as_ref()).map(Key::Function).or(field);
    let event = Event { krate, ident, name, version, bus, key };
    options.finish();

    let is_one_fact = errors.keep(one_fact(&generics));
    let is_serializable = errors.keep(no_union(&data));
    is_one_fact.and(is_serializable).map(|()| event)
}

fn read_options<'e>(attrs: &[Attribute], example: &str, errors: &'e Errors) -> Options<'e> {
    let mut options = Options::new(errors);
    for attr in attrs.iter().filter(|attr| attr.path().is_ident("event")) {
        match &attr.meta {
            Meta::List(list) => options.read(list.tokens.clone()),
            other => {
                let message = format!("options go in parentheses: write `#[event({example})]`");
                errors.refuse(other, message);
            }
        }
    }
    options
}

fn name(ident: &Ident, options: &mut Options<'_>, errors: &Errors) -> LitStr {
    let is_written = options.has("name");
    let name = options.string("name", "order.created", name::event_name);
    let name = if is_written { name } else { errors.keep(derived_name(ident)) };
    // What is wrong with it has been reported, and the type is an event all the same.
    name.unwrap_or_else(|| LitStr::new("", ident.span()))
}

fn derived_name(ident: &Ident) -> Result<LitStr> {
    let type_name = ident.unraw().to_string();
    match dotted(&type_name) {
        Some(name) => name::event_name(LitStr::new(&name, ident.span())),
        None => Err(Error::new(
            ident.span(),
            format!(
                "no event name can be derived from `{type_name}`: \
                 write one, `#[event(name = \"order.created\")]`"
            ),
        )),
    }
}

fn version(number: LitInt) -> Result<u32> {
    match number.base10_parse() {
        Ok(0) => Err(Error::new(number.span(), "versions start at 1, which is the default")),
        Ok(version) => Ok(version),
        Err(_) => Err(Error::new(number.span(), format!("a version is at most {}", u32::MAX))),
    }
}

/// `key = path`, above the type.
fn key_function(options: &mut Options<'_>, field: Option<&Key>) -> Option<Path> {
    if options.is_bare("key") {
        options.refuse(
            "key",
            "`key` marks a field: write `#[event(key)]` above the field, or `key = path::to::function` here",
        );
    }
    if let Some(Key::Field { member, .. }) = field {
        let field = member.to_token_stream();
        options.contradict("key", &format!("an event has one key, and `{field}` is it already"));
    }
    options.path("key", "path::to::function")
}

fn key(data: &Data, errors: &Errors) -> Option<Key> {
    match data {
        Data::Struct(data) => struct_key(data, errors),
        Data::Enum(data) => {
            refuse_enum_key(data, errors);
            None
        }
        Data::Union(_) => None,
    }
}

fn struct_key(data: &DataStruct, errors: &Errors) -> Option<Key> {
    let mut key: Option<Key> = None;
    for (member, field) in data.fields.members().zip(&data.fields) {
        let Some(mark) = key_mark(field, errors) else {
            continue;
        };
        match &key {
            Some(Key::Field { member, .. }) => {
                let field = member.to_token_stream();
                errors.refuse(mark, format!("an event has one key, and `{field}` is it already"));
            }
            _ => key = Some(Key::Field { member, ty: Box::new(field.ty.clone()) }),
        }
    }
    key
}

fn refuse_enum_key(data: &DataEnum, errors: &Errors) {
    for variant in &data.variants {
        for attr in variant.attrs.iter().filter(|attr| attr.path().is_ident("event")) {
            errors.refuse(attr, "a variant takes no options: they belong on the enum");
        }
        for mark in variant.fields.iter().filter_map(|field| key_mark(field, errors)) {
            errors.refuse(
                mark,
                "the key of an enum is not one field: write `#[event(key = path::to::function)]` above the enum",
            );
        }
    }
}

/// Where a field is marked `#[event(key)]`.
fn key_mark(field: &Field, errors: &Errors) -> Option<Ident> {
    let mut options = read_options(&field.attrs, "key", errors);
    let mark = options.flag("key");
    for name in ["name", "version", "bus", "crate"] {
        options.refuse(name, &format!("`{name}` belongs to the event: write it above the type"));
    }
    options.finish();
    mark
}

fn one_fact(generics: &Generics) -> Result<()> {
    let is_lifetime = |param: &GenericParam| matches!(param, GenericParam::Lifetime(_));
    let message = if generics.params.is_empty() {
        return Ok(());
    } else if generics.params.iter().all(is_lifetime) {
        "an event owns its data, since it outlives the code that publishes it: \
         use `String` in place of `&str`, `Vec<T>` in place of `&[T]`"
    } else {
        "an event is one fact with one name, so its type cannot be generic: write one for each"
    };
    Err(Error::new_spanned(generics, message))
}

fn no_union(data: &Data) -> Result<()> {
    match data {
        Data::Union(data) => Err(Error::new_spanned(
            data.union_token,
            "a union cannot be serialized: make the event a struct or an enum",
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use quote::quote;

    use super::*;

    struct Parsed {
        name: String,
        version: Option<u32>,
        bus: Option<String>,
        key: Option<String>,
        messages: Vec<String>,
    }

    fn parsed(input: TokenStream) -> Parsed {
        let errors = Errors::default();
        let event = parse(input, &errors).expect("it is an event");
        Parsed {
            name: event.name.value(),
            version: event.version,
            bus: event.bus.map(|bus| bus.value()),
            key: event.key.map(|key| match key {
                Key::Field { member, .. } => quote!(#member).to_string(),
                Key::Function(path) => quote!(#path).to_string(),
            }),
            messages: errors.messages(),
        }
    }

    fn messages(input: TokenStream) -> Vec<String> {
        let errors = Errors::default();
        parse(input, &errors);
        errors.messages()
    }

    #[test]
    fn everything_has_a_default() {
        let event = parsed(quote!(
            struct OrderCreated;
        ));
        assert_eq!(event.name, "order.created");
        assert_eq!((event.version, event.bus, event.key), (None, None, None));
        assert!(event.messages.is_empty());
    }

    #[test]
    fn options_may_be_spread_over_several_attributes() {
        let event = parsed(quote! {
            #[event(name = "order.placed", version = 2)]
            #[derive(Clone)]
            #[event(bus = "domain")]
            struct OrderCreated { amount: f64, #[event(key)] order_id: String }
        });
        assert!(event.messages.is_empty());
        assert_eq!((event.name.as_str(), event.version), ("order.placed", Some(2)));
        assert_eq!(event.bus.as_deref(), Some("domain"));
        assert_eq!(event.key.as_deref(), Some("order_id"));
    }

    #[test]
    fn tuples_have_keys_and_enums_have_not() {
        let tuple = parsed(quote!(
            struct Paid(f64, #[event(key)] String);
        ));
        assert_eq!(tuple.key.as_deref(), Some("1"));
        let event = parsed(quote!(
            enum Changed {
                Name {
                    #[event(key)]
                    id: u64,
                },
                #[event(name = "x")]
                Gone,
            }
        ));
        assert_eq!(event.name, "changed");
        assert_eq!(
            event.messages,
            [
                "the key of an enum is not one field: \
                 write `#[event(key = path::to::function)]` above the enum",
                "a variant takes no options: they belong on the enum",
            ]
        );
    }

    #[test]
    fn every_mistake_in_a_type_is_reported() {
        assert_eq!(
            messages(quote! {
                #[event(name = "order created", version = 0, bus = "Domain", id = 7)]
                #[event(name = "again", key)]
                struct OrderCreated<T> {
                    #[event(key)]
                    id: T,
                    #[event(key, version = 3)]
                    customer: T,
                }
            }),
            [
                "`name` is given twice: keep one of them",
                "an event's name is made of ASCII letters, digits and `_` `-` `.`, \
                 but character 6 is ' ': write \"order.created\"",
                "versions start at 1, which is the default",
                "a bus's name is in lower case: write \"domain\"",
                "`version` belongs to the event: write it above the type",
                "an event has one key, and `id` is it already",
                "`key` marks a field: write `#[event(key)]` above the field, or `key = path::to::function` here",
                "unknown option `id`\nvalid options: `name`, `version`, `bus`, `crate`, `key`",
                "an event is one fact with one name, so its type cannot be generic: write one for each",
            ]
        );
    }

    #[test]
    fn a_key_may_come_from_a_function() {
        let event = parsed(quote! {
            #[event(key = Changed::id)]
            enum Changed { Name { id: u64 }, Gone(u64) }
        });
        assert_eq!(event.key.as_deref(), Some("Changed :: id"));
        assert!(event.messages.is_empty());
        for key in [quote!(key = "id"), quote!(key = |event| event.id), quote!(key(id))] {
            assert_eq!(
                messages(quote!(
                    #[event(#key)]
                    struct Changed {
                        id: u64,
                    }
                )),
                ["`key` takes a path: write `key = path::to::function`"]
            );
        }
        assert_eq!(
            messages(quote! {
                #[event(key = id_of)]
                struct Changed { #[event(key)] id: u64 }
            }),
            ["an event has one key, and `id` is it already"]
        );
    }

    #[test]
    fn a_type_that_no_name_comes_from_needs_one() {
        for input in [
            quote!(
                struct Event;
            ),
            quote!(
                struct Prüfung;
            ),
        ] {
            let messages = messages(input);
            assert_eq!(messages.len(), 1);
            assert!(messages[0].starts_with("no event name can be derived from"), "{messages:?}");
        }
        assert!(
            messages(quote!(
                #[event(name = "checked")]
                struct Prüfung;
            ))
            .is_empty()
        );
        assert_eq!(
            parsed(quote!(
                struct r#Type;
            ))
            .name,
            "type"
        );
    }

    #[test]
    fn what_cannot_be_an_event_is_none() {
        for input in [
            quote!(
                struct Page<T>(T);
            ),
            quote!(
                struct Line<'a>(&'a str);
            ),
            quote!(
                struct Block<const N: usize>([u8; N]);
            ),
            quote!(union Bits { a: u32, b: f32 }),
        ] {
            let errors = Errors::default();
            assert!(parse(input, &errors).is_none());
            assert_eq!(errors.messages().len(), 1);
        }
    }
}
