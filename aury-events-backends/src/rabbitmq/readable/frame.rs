//! One AMQP 0-9-1 frame (§4.2.3), as far as it describes a message.

/// The types of frames that are looked into (§4.2.3).
const METHOD: u8 = 1;
const HEADER: u8 = 2;

/// What stands before and after a frame's payload: its type, channel and size; its end.
const BEFORE: usize = 7;
const AFTER: usize = 1;

/// How deep tables and arrays may stand within each other.
const DEEPEST: u32 = 16;

/// The length of the frame that begins here; `None` when too little of it is there to tell.
pub(super) fn length(bytes: &[u8]) -> Option<usize> {
    let size: [u8; 4] = bytes.get(3..BEFORE)?.try_into().ok()?;
    Some(u32::from_be_bytes(size) as usize + BEFORE + AFTER)
}

/// Whether frames of that type describe a message, or anything else in words.
pub(super) fn is_described(frame_type: u8) -> bool {
    matches!(frame_type, METHOD | HEADER)
}

/// Puts `?` for each byte of a short string that is not UTF-8, and makes tables opaque that the client library could not
/// read. What is not understood stays as it is.
pub(super) fn make_readable(frame: &mut [u8]) {
    let end = frame.len() - AFTER;
    let frame_type = frame[0];
    let mut fields = Fields { bytes: &mut frame[BEFORE..end] };
    let _ = match frame_type {
        METHOD => fields.method(),
        _ => fields.header(),
    };
}

/// What is left to be read of a payload.
struct Fields<'a> {
    bytes: &'a mut [u8],
}

/// A field does not fit into what is left of the payload, or is of an unknown type.
struct Malformed;

type Step<T = ()> = Result<T, Malformed>;

impl<'a> Fields<'a> {
    /// The methods that tell what others have chosen (AMQP 0-9-1 §1.8).
    fn method(&mut self) -> Step {
        match (self.number(2)?, self.number(2)?) {
            // basic.deliver
            (60, 60) => {
                self.short_string()?;
                self.take(8 + 1)?;
                self.short_string()?;
                self.short_string()
            }
            // basic.get-ok
            (60, 71) => {
                self.take(8 + 1)?;
                self.short_string()?;
                self.short_string()
            }
            // basic.return
            (60, 50) => {
                self.take(2)?;
                self.short_string()?;
                self.short_string()?;
                self.short_string()
            }
            // channel.close and connection.close
            (20, 40) | (10, 50) => {
                self.take(2)?;
                self.short_string()
            }
            // basic.cancel and connection.blocked
            (60, 30) | (10, 60) => self.short_string(),
            _ => Ok(()),
        }
    }

    /// The properties of a message (§4.2.6.1).
    fn header(&mut self) -> Step {
        self.take(2 + 2 + 8)?;
        let flags = self.number(2)?;
        for property in 0..14 {
            if flags & (1 << (15 - property)) == 0 {
                continue;
            }
            match property {
                // headers
                2 => self.headers()?,
                // delivery-mode and priority
                3 | 4 => drop(self.take(1)?),
                // timestamp
                9 => drop(self.take(8)?),
                _ => self.short_string()?,
            }
        }
        Ok(())
    }

    fn headers(&mut self) -> Step {
        let table = self.sized()?.bytes;
        if (Fields { bytes: &mut *table }).table(0).is_err() {
            make_opaque(table);
        }
        Ok(())
    }

    /// The entries of a table (§4.2.5.5).
    fn table(&mut self, depth: u32) -> Step {
        while !self.bytes.is_empty() {
            self.short_string()?;
            self.value(depth)?;
        }
        Ok(())
    }

    fn array(&mut self, depth: u32) -> Step {
        while !self.bytes.is_empty() {
            self.value(depth)?;
        }
        Ok(())
    }

    /// A value with its type, in RabbitMQ's reading of the types.
    fn value(&mut self, depth: u32) -> Step {
        let kind = self.take(1)?;
        match kind[0] {
            b'V' => Ok(()),
            b't' | b'b' | b'B' => self.take(1).map(drop),
            b's' | b'U' | b'u' => self.take(2).map(drop),
            b'I' | b'i' | b'f' => self.take(4).map(drop),
            b'D' => self.take(5).map(drop),
            b'L' | b'l' | b'd' | b'T' => self.take(8).map(drop),
            b'S' | b'x' => self.sized().map(drop),
            b'F' | b'A' if depth == DEEPEST => {
                // Bytes are laid out as tables are: their number, then they themselves.
                kind[0] = b'x';
                self.sized().map(drop)
            }
            b'F' => self.sized()?.table(depth + 1),
            b'A' => self.sized()?.array(depth + 1),
            _ => Err(Malformed),
        }
    }

    fn short_string(&mut self) -> Step {
        let length = self.take(1)?[0];
        let mut text = self.take(length.into())?;
        while let Err(error) = str::from_utf8(text) {
            let (good, bad) = (error.valid_up_to(), error.error_len());
            let bad = good..bad.map_or(text.len(), |bad| good + bad);
            text[bad.clone()].fill(b'?');
            text = &mut text[bad.end..];
        }
        Ok(())
    }

    /// What has its length before it, in four bytes.
    fn sized(&mut self) -> Step<Fields<'a>> {
        let length = self.number(4)?;
        Ok(Fields { bytes: self.take(length)? })
    }

    fn number(&mut self, size: usize) -> Step<usize> {
        let bytes = self.take(size)?;
        Ok(bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte)))
    }

    fn take(&mut self, length: usize) -> Step<&'a mut [u8]> {
        if length > self.bytes.len() {
            return Err(Malformed);
        }
        let (taken, left) = std::mem::take(&mut self.bytes).split_at_mut(length);
        self.bytes = left;
        Ok(taken)
    }
}

/// Makes a table that cannot be read one that holds its bytes, under the name `?`. One that is too short for that has
/// held nothing.
fn make_opaque(table: &mut [u8]) {
    /// The name, with its length; the type; the length of the bytes.
    const HEAD: usize = 2 + 1 + 4;
    let Some(length) = table.len().checked_sub(HEAD) else {
        return empty_names(table);
    };
    table[..3].copy_from_slice(&[1, b'?', b'x']);
    table[3..HEAD].copy_from_slice(&(length as u32).to_be_bytes());
}

/// Fills a table with entries that hold nothing: an empty name, and no value.
fn empty_names(table: &mut [u8]) {
    for entry in table.chunks_mut(2) {
        entry.copy_from_slice(&[0, b'V'][..entry.len()]);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn frame(frame_type: u8, payload: &[u8]) -> Vec<u8> {
        let size = (payload.len() as u32).to_be_bytes();
        [&[frame_type, 0, 1][..], &size, payload, &[206]].concat()
    }

    fn header(flags: u16, properties: &[u8]) -> Vec<u8> {
        let payload = [&[0, 60, 0, 0][..], &[0; 8], &flags.to_be_bytes(), properties].concat();
        frame(HEADER, &payload)
    }

    fn short(text: &[u8]) -> Vec<u8> {
        [&[text.len() as u8][..], text].concat()
    }

    fn sized(bytes: &[u8]) -> Vec<u8> {
        [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat()
    }

    pub(in super::super) fn header_with_message_id(id: &[u8]) -> Vec<u8> {
        header(1 << 7, &short(id))
    }

    fn readable(mut frame: Vec<u8>) -> Vec<u8> {
        assert_eq!(length(&frame), Some(frame.len()));
        make_readable(&mut frame);
        frame
    }

    #[test]
    fn bytes_that_are_no_utf8_become_question_marks() {
        for (id, expected) in [
            (&b"order-1"[..], &b"order-1"[..]),
            ("größe".as_bytes(), "größe".as_bytes()),
            (b"\xff\xfe", b"??"),
            (b"a\xffb\xc3", b"a?b?"),
            (b"", b""),
        ] {
            assert_eq!(readable(header_with_message_id(id)), header_with_message_id(expected));
        }
    }

    #[test]
    fn names_of_headers_are_made_readable_and_values_are_left() {
        let table = |name: &[u8]| {
            let inner = [short(name), b"S".to_vec(), sized(b"\xff")].concat();
            let outer = [short(name), b"F".to_vec(), sized(&inner), short(b"n"), b"I".to_vec()];
            header(1 << 13, &sized(&[&outer.concat()[..], &[0, 0, 0, 7]].concat()))
        };
        assert_eq!(readable(table(b"x\xc0y")), table(b"x?y"));
    }

    #[test]
    fn a_routing_key_that_is_no_utf8_is_made_readable() {
        let deliver = |key: &[u8]| {
            let tag = [0, 0, 0, 0, 0, 0, 0, 9, 1];
            let parts = [&[0, 60, 0, 60][..], &short(b"aury"), &tag, &short(b"ex"), &short(key)];
            frame(METHOD, &parts.concat())
        };
        assert_eq!(readable(deliver(b"order.\x80")), deliver(b"order.?"));
    }

    #[test]
    fn what_is_nested_too_deep_becomes_bytes() {
        let mut value = b"V".to_vec();
        for _ in 0..10_000 {
            value = [b"A".to_vec(), sized(&value)].concat();
        }
        let sent = header(1 << 13, &sized(&[short(b"deep"), value].concat()));
        let read = readable(sent.clone());
        let changed: Vec<_> = sent.iter().zip(&read).filter(|(sent, read)| sent != read).collect();
        assert_eq!(changed, [(&b'A', &b'x')]);
    }

    #[test]
    fn a_table_that_cannot_be_read_keeps_its_length() {
        for table in [&b"\x01aZ\x00\x00\x00\x00"[..], b"\x01aZ1234567", b"\x01aZ", b"\x05"] {
            let sent = header(1 << 13, &sized(table));
            let read = readable(sent.clone());
            assert_eq!(read.len(), sent.len());
        }
        assert_eq!(
            readable(header(1 << 13, &sized(b"\x01aZ1234567"))),
            header(1 << 13, &sized(b"\x01?x\x00\x00\x00\x03567"))
        );
    }
}
