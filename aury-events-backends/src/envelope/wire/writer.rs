//! Writing a JSON object.

use std::io::Write as _;

use super::text;

/// A JSON object (RFC 8259) while it is written, member by member.
pub(super) struct ObjectWriter {
    text: Vec<u8>,
    ascii: bool,
}

/// Why the results of writing are not looked at any further.
const NEVER_FAILS: &str = "writing to memory does not fail";

impl ObjectWriter {
    /// An object of about that many bytes.
    pub(super) fn with_capacity(capacity: usize) -> Self {
        let mut text = Vec::with_capacity(capacity);
        text.push(b'{');
        Self { text, ascii: false }
    }

    /// An object that is written in printable ASCII alone, whatever its strings hold.
    pub(super) fn ascii() -> Self {
        Self { ascii: true, ..Self::with_capacity(64) }
    }

    /// The text of the object.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.text.push(b'}');
        self.text
    }

    /// A member that is a string, under any name.
    pub(super) fn string(&mut self, name: &str, value: &str) {
        self.separate();
        self.write_string(name);
        self.text.push(b':');
        self.write_string(value);
    }

    /// A member that is a string of which nothing has to be escaped: without quotes, backslashes, control characters.
    pub(super) fn plain(&mut self, name: &'static str, value: impl AsRef<[u8]>) {
        self.name(name);
        self.write_plain(value.as_ref());
    }

    /// A member that is a number.
    pub(super) fn number(&mut self, name: &'static str, value: u32) {
        self.name(name);
        serde_json::to_writer(&mut self.text, &value).expect(NEVER_FAILS);
    }

    /// A member whose value is JSON text already.
    pub(super) fn json(&mut self, name: &'static str, value: &[u8]) {
        self.name(name);
        self.text.extend_from_slice(value);
    }

    /// A member that is an object, with what `write` puts into it.
    pub(super) fn object<T>(
        &mut self,
        name: &'static str,
        write: impl FnOnce(&mut Self) -> T,
    ) -> T {
        self.name(name);
        self.text.push(b'{');
        let result = write(self);
        self.text.push(b'}');
        result
    }

    fn name(&mut self, name: &'static str) {
        self.separate();
        self.write_plain(name.as_bytes());
        self.text.push(b':');
    }

    fn separate(&mut self) {
        // No value ends with a brace that opens.
        if self.text.last() != Some(&b'{') {
            self.text.push(b',');
        }
    }

    fn write_string(&mut self, value: &str) {
        if self.ascii {
            self.write_ascii(value);
        } else if text::is_plain(value) {
            self.write_plain(value.as_bytes());
        } else {
            serde_json::to_writer(&mut self.text, value).expect(NEVER_FAILS);
        }
    }

    fn write_plain(&mut self, value: &[u8]) {
        self.text.push(b'"');
        self.text.extend_from_slice(value);
        self.text.push(b'"');
    }

    fn write_ascii(&mut self, value: &str) {
        self.text.push(b'"');
        for c in value.chars() {
            match c {
                '"' | '\\' => self.text.extend([b'\\', c as u8]),
                ' '..='~' => self.text.push(c as u8),
                _ => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        write!(self.text, "\\u{unit:04x}").expect(NEVER_FAILS);
                    }
                }
            }
        }
        self.text.push(b'"');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(writer: ObjectWriter) -> String {
        String::from_utf8(writer.finish()).unwrap()
    }

    #[test]
    fn members_are_separated_at_every_level() {
        let mut writer = ObjectWriter::with_capacity(0);
        writer.object("empty", |_| ());
        writer.plain("a", "1");
        writer.object("nested", |writer| {
            writer.number("b", 2);
            writer.string("{", "{");
            writer.json("c", b"[{}]");
        });
        writer.string("d", "\"\\\n\u{0}é");
        let expected =
            r#"{"empty":{},"a":"1","nested":{"b":2,"{":"{","c":[{}]},"d":"\"\\\n\u0000é"}"#;
        assert_eq!(text(writer), expected);
        assert_eq!(text(ObjectWriter::with_capacity(0)), "{}");
    }

    #[test]
    fn an_ascii_object_holds_any_string_in_printable_characters() {
        let mut writer = ObjectWriter::ascii();
        writer.string("é", "\"\\\n\u{7f}\u{9f}\u{1f600}~ ");
        let text = text(writer);
        assert_eq!(text, r#"{"\u00e9":"\"\\\u000a\u007f\u009f\ud83d\ude00~ "}"#);
        let back: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(back["é"], "\"\\\n\u{7f}\u{9f}\u{1f600}~ ");
    }
}
