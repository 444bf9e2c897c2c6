//! Random bits for identifiers and waits.
//!
//! They have to be unique, not secret, so each thread runs its own generator, seeded once from the operating
//! system: no system call and no shared state per event. The generator is xoshiro256++ (Blackman and Vigna, 2018).

use std::cell::Cell;

use uuid::Uuid;

thread_local! {
    static STATE: Cell<[u64; 4]> = Cell::new(seed());
}

fn seed() -> [u64; 4] {
    let (a, b) = Uuid::new_v4().as_u64_pair();
    let (c, d) = Uuid::new_v4().as_u64_pair();
    [a, b, c, d]
}

/// Random bits, `N` words of 64.
#[inline]
pub(crate) fn words<const N: usize>() -> [u64; N] {
    STATE.with(|cell| {
        let mut s = cell.get();
        let words = std::array::from_fn(|_| next(&mut s));
        cell.set(s);
        words
    })
}

#[inline]
fn next(s: &mut [u64; 4]) -> u64 {
    let result = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
    let t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = s[3].rotate_left(45);
    result
}
