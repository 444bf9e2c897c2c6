use aury_events::Event;

#[derive(Event)]
union Bits {
    integer: u32,
    float: f32,
}

fn main() {}
