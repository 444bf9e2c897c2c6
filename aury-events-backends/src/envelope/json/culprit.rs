//! Finding the field that has no JSON text which reads back as it.

use std::fmt::{self, Write as _};

use serde::ser::{self, Serialize};

use super::{super::EncodeError, MAX_DEPTH, excerpt};

/// How many paths are kept, to name one of them.
const NAMED: usize = 64;

/// Looks for a number that is not finite, and for what is nested too deeply. Gives where there is a `Some` of nothing.
///
/// # Errors
///
/// When there is one: the field by its path, as in `order.lines[3].price`, and what is wrong with it.
pub(super) fn find<T: Serialize>(value: &T) -> Result<Hollow, EncodeError> {
    let mut walk = Walk::default();
    match value.serialize(&mut walk) {
        Err(Found { is_culprit: true, text }) => Err(EncodeError::new(text)),
        // Another error of the value's own is found by who writes it.
        _ => Ok(walk.hollow),
    }
}

/// Each `Some` of nothing in a value, as `Some(None)` and `Some(())` are: its text is that of `None`.
#[derive(Default)]
pub(super) struct Hollow {
    count: usize,
    /// Of the first ones.
    paths: Vec<String>,
}

impl Hollow {
    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The field that is none of `others`, where a value has less of them.
    pub(super) fn missing_in(&self, others: &Self) -> Option<&str> {
        let missing = self.paths.iter().find(|path| !others.paths.contains(path));
        (self.count > others.count).then(|| missing.map_or("the event", String::as_str))
    }
}

/// Serialises to nothing, and knows where it is.
#[derive(Default)]
struct Walk {
    path: String,
    depth: usize,
    /// Whether the value stands directly in a `Some`.
    is_in_some: bool,
    hollow: Hollow,
}

#[derive(Debug)]
struct Found {
    is_culprit: bool,
    text: String,
}

impl Walk {
    fn number(&self, number: f64) -> Result<(), Found> {
        if number.is_finite() {
            Ok(())
        } else {
            Err(self.found(&format!("is {number}, for which JSON has no number")))
        }
    }

    fn found(&self, what: &str) -> Found {
        let field = if self.path.is_empty() { "the event" } else { &*self.path };
        Found { is_culprit: true, text: format!("`{}` {what}", excerpt(&field)) }
    }

    /// Serialises what lies one level deeper.
    fn enter<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Found> {
        value.serialize(&mut *self)
    }

    fn deeper(&mut self) -> Result<(), Found> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.found(&format!(
                "is nested more than {MAX_DEPTH} levels deep, which nobody could read"
            )));
        }
        Ok(())
    }

    /// Takes note of a value that is written as `null`.
    fn nothing(&mut self) {
        if self.is_in_some {
            self.hollow.count += 1;
            if self.hollow.paths.len() < NAMED {
                let path = if self.path.is_empty() { "the event" } else { &*self.path };
                self.hollow.paths.push(excerpt(&path));
            }
        }
    }

    fn level(&mut self, levels: usize) -> Result<Level<'_>, Found> {
        self.is_in_some = false;
        for _ in 0..levels {
            self.deeper()?;
        }
        Ok(Level { length: self.path.len(), walk: self, levels, index: 0 })
    }
}

/// An array or an object, or one in another.
struct Level<'a> {
    walk: &'a mut Walk,
    /// Of the path to it.
    length: usize,
    levels: usize,
    index: usize,
}

impl Level<'_> {
    fn item<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Found> {
        let index = self.index;
        self.index += 1;
        let _ = write!(self.walk.path, "[{index}]");
        self.step(value)
    }

    fn name(&mut self, name: &str) {
        if !self.walk.path.is_empty() {
            self.walk.path.push('.');
        }
        self.walk.path.push_str(name);
    }

    fn step<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Found> {
        self.walk.enter(value)?;
        self.walk.path.truncate(self.length);
        Ok(())
    }

    fn leave(self) {
        self.walk.depth -= self.levels;
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Found {}

impl ser::Error for Found {
    fn custom<T: fmt::Display>(text: T) -> Self {
        Self { is_culprit: false, text: text.to_string() }
    }
}

macro_rules! fine {
    ($($method:ident($kind:ty),)+) => {
        $(fn $method(self, _: $kind) -> Result<(), Found> { Ok(()) })+
    };
}

impl<'a> ser::Serializer for &'a mut Walk {
    type Ok = ();
    type Error = Found;
    type SerializeSeq = Level<'a>;
    type SerializeTuple = Level<'a>;
    type SerializeTupleStruct = Level<'a>;
    type SerializeTupleVariant = Level<'a>;
    type SerializeMap = Level<'a>;
    type SerializeStruct = Level<'a>;
    type SerializeStructVariant = Level<'a>;

    fine! {
        serialize_bool(bool), serialize_i8(i8), serialize_i16(i16), serialize_i32(i32), serialize_i64(i64),
        serialize_i128(i128), serialize_u8(u8), serialize_u16(u16), serialize_u32(u32), serialize_u64(u64),
        serialize_u128(u128), serialize_char(char), serialize_str(&str), serialize_bytes(&[u8]),
    }

    fn serialize_f32(self, number: f32) -> Result<(), Found> {
        self.number(number.into())
    }

    fn serialize_f64(self, number: f64) -> Result<(), Found> {
        self.number(number)
    }

    fn serialize_none(self) -> Result<(), Found> {
        self.nothing();
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Found> {
        self.is_in_some = true;
        value.serialize(&mut *self)?;
        self.is_in_some = false;
        Ok(())
    }

    fn serialize_unit(self) -> Result<(), Found> {
        self.nothing();
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Found> {
        self.nothing();
        Ok(())
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, _: &'static str) -> Result<(), Found> {
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Found> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Found> {
        let mut level = self.level(1)?;
        level.name(variant);
        level.step(value)?;
        level.leave();
        Ok(())
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Level<'a>, Found> {
        self.level(1)
    }

    fn serialize_tuple(self, _: usize) -> Result<Level<'a>, Found> {
        self.level(1)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Level<'a>, Found> {
        self.level(1)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Level<'a>, Found> {
        self.level(2)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Level<'a>, Found> {
        self.level(1)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Level<'a>, Found> {
        self.level(1)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Level<'a>, Found> {
        self.level(2)
    }
}

macro_rules! items {
    ($($kind:ident $method:ident,)+) => {
        $(impl ser::$kind for Level<'_> {
            type Ok = ();
            type Error = Found;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Found> {
                self.item(value)
            }

            fn end(self) -> Result<(), Found> {
                self.leave();
                Ok(())
            }
        })+
    };
}

items! {
    SerializeSeq serialize_element,
    SerializeTuple serialize_element,
    SerializeTupleStruct serialize_field,
    SerializeTupleVariant serialize_field,
}

macro_rules! fields {
    ($($kind:ident,)+) => {
        $(impl ser::$kind for Level<'_> {
            type Ok = ();
            type Error = Found;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Result<(), Found> {
                self.name(name);
                self.step(value)
            }

            fn end(self) -> Result<(), Found> {
                self.leave();
                Ok(())
            }
        })+
    };
}

fields! { SerializeStruct, SerializeStructVariant, }

impl ser::SerializeMap for Level<'_> {
    type Ok = ();
    type Error = Found;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Found> {
        let name = match serde_json::to_value(key) {
            Ok(serde_json::Value::String(name)) => name,
            Ok(other) => other.to_string(),
            Err(_) => "?".to_owned(),
        };
        self.name(&name);
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Found> {
        self.step(value)
    }

    fn end(self) -> Result<(), Found> {
        self.leave();
        Ok(())
    }
}
