//! How often an entry has been delivered, and how often that ended with its process.

/// The count that the server keeps for an entry that a group has not acknowledged. Nobody changes it by publishing.
///
/// It holds two numbers: how often the entry was delivered, which is 1 when it is read for the first time and grows with
/// each attempt, and, in thousands of millions, how often a process died while its handler ran. So 3,000,000,002 is the
/// second delivery of an entry over which three processes have died. It needs no room on the server, so that a full one
/// takes it, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct DeliveryCount(u64);

impl DeliveryCount {
    /// What one interruption adds.
    pub(crate) const INTERRUPTION: u64 = 1_000_000_000;

    /// The first delivery.
    pub(crate) const FIRST: Self = Self(1);

    /// As the server says it.
    pub(crate) fn new(count: u64) -> Self {
        Self(count)
    }

    pub(crate) fn of(deliveries: u32, interruptions: u32) -> Self {
        let deliveries = u64::from(deliveries).min(Self::INTERRUPTION - 1);
        Self(deliveries + u64::from(interruptions) * Self::INTERRUPTION)
    }

    /// As the server is told.
    pub(crate) fn get(self) -> u64 {
        self.0
    }

    /// How often it was delivered, this time included.
    pub(crate) fn deliveries(self) -> u32 {
        // It is below the thousand millions.
        ((self.0 % Self::INTERRUPTION) as u32).max(1)
    }

    /// How often a process died while its handler ran.
    pub(crate) fn interruptions(self) -> u32 {
        u32::try_from(self.0 / Self::INTERRUPTION).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_holds_both_numbers() {
        let count = DeliveryCount::of(2, 3);
        assert_eq!(count.get(), 3_000_000_002);
        assert_eq!((count.deliveries(), count.interruptions()), (2, 3));
        assert_eq!(DeliveryCount::FIRST, DeliveryCount::of(1, 0));
        assert_eq!(DeliveryCount::new(0).deliveries(), 1);
        let most = DeliveryCount::of(u32::MAX, u32::MAX);
        assert_eq!((most.deliveries(), most.interruptions()), (999_999_999, u32::MAX));
    }
}
