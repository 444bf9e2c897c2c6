//! The suite notices backends that break their word.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    task::{Context, Poll},
    time::Duration,
};

use super::{CHECKS, Subject, Verdict};
use crate::{
    backend::{Backend, Capabilities, Health, Origin, Outgoing, SubscriptionSpec},
    config::BackendConfig,
    dead_letters::{DeadLetter, DeadLetterReader, DeadLetterStore},
    delivery::{Cancel, Consumer, Delivery, Settle, Settlement},
    envelope::{Envelope, Metadata, Topic},
    error::BackendError,
    in_flight::InFlight,
    maybe_ready::{BoxFuture, MaybeReady},
    memory::MemoryBackend,
    registry::Connect,
};

/// What is wrong with a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Defect {
    None,
    LosesOneInHundred,
    DoublesOneInHundred,
    SwapsOneInHundred,
    LosesTheFirstAfterSubscribing,
    IgnoresNames,
    LosesHeadersAndKey,
    MakesNewIds,
    BreaksChains,
    LosesWhatIsDropped,
    LosesWhatIsRetried,
    RetriesAtOnce,
    CountsEveryAttemptAsTheFirst,
    LosesDeadLetters,
    RedeliversDeadLetters,
    ListsTheLettersOfAll,
    ReadsLettersWithoutEnd,
    ReplaysToEverybody,
    LosesWhatIsReplayed,
    ReplaysTwice,
    PurgesNothing,
    IgnoresDelays,
    LosesWhatIsDelayed,
    EndsWithoutHandingOut,
    NeverEnds,
    TakesEventsWhenClosed,
    TakesEventsWhenDraining,
    HandsOutOneAtATime,
    NeverSettles,
    ForgetsItsSubscriptions,
}

/// Each defect, with a check that has to fail for it.
const NOTICED: [(Defect, &str); 29] = [
    (
        Defect::LosesOneInHundred,
        "delivery::every_event_of_many_publishers_reaches_every_subscriber_once",
    ),
    (
        Defect::DoublesOneInHundred,
        "delivery::every_event_of_many_publishers_reaches_every_subscriber_once",
    ),
    (Defect::SwapsOneInHundred, "order::events_of_one_publisher_arrive_in_order"),
    (
        Defect::LosesTheFirstAfterSubscribing,
        "delivery::an_event_published_next_after_subscribing_is_not_missed",
    ),
    (Defect::IgnoresNames, "delivery::an_event_reaches_only_those_who_listen_to_its_name"),
    (Defect::LosesHeadersAndKey, "metadata::key_and_headers_are_kept"),
    (Defect::MakesNewIds, "metadata::id_name_version_source_and_time_are_kept"),
    (Defect::BreaksChains, "metadata::a_chain_of_events_keeps_its_trace_and_its_causes"),
    (Defect::LosesWhatIsDropped, "failures::a_delivery_that_is_dropped_comes_again"),
    (Defect::LosesWhatIsRetried, "failures::many_retries_lose_and_double_nothing"),
    (Defect::RetriesAtOnce, "failures::a_retry_waits_its_time_and_holds_back_nobody"),
    (
        Defect::CountsEveryAttemptAsTheFirst,
        "failures::a_retried_event_comes_again_with_its_attempts_counted",
    ),
    (Defect::LosesDeadLetters, "failures::a_dead_letter_is_listed_with_its_reason"),
    (Defect::RedeliversDeadLetters, "failures::a_dead_letter_does_not_come_again"),
    (Defect::ListsTheLettersOfAll, "dead_letters::only_the_letters_that_are_asked_for_are_read"),
    (
        Defect::ReadsLettersWithoutEnd,
        "dead_letters::reading_ends_with_what_was_there_though_all_is_replayed_and_fails_again",
    ),
    (
        Defect::ReplaysToEverybody,
        "dead_letters::a_replayed_letter_goes_to_its_subscriber_alone_as_a_first_attempt",
    ),
    (
        Defect::LosesWhatIsReplayed,
        "dead_letters::a_letter_whose_subscriber_is_away_is_kept_or_waits_for_it",
    ),
    (Defect::ReplaysTwice, "dead_letters::a_replayed_letter_is_there_no_more"),
    (Defect::PurgesNothing, "dead_letters::a_purged_letter_is_there_no_more"),
    (
        Defect::IgnoresDelays,
        "delays::a_delayed_event_comes_not_before_its_time_and_holds_up_no_other",
    ),
    (
        Defect::LosesWhatIsDelayed,
        "delays::a_delayed_event_goes_to_those_who_listen_when_its_time_has_come",
    ),
    (
        Defect::EndsWithoutHandingOut,
        "ending::a_cancelled_subscription_hands_out_what_it_took_and_ends",
    ),
    (Defect::NeverEnds, "ending::closing_again_changes_nothing"),
    (Defect::TakesEventsWhenClosed, "ending::a_closed_bus_refuses_events_and_subscribers"),
    (Defect::TakesEventsWhenDraining, "ending::a_draining_bus_takes_only_what_handlers_publish"),
    (Defect::HandsOutOneAtATime, "delivery::as_many_deliveries_are_open_as_are_handled_at_a_time"),
    (Defect::NeverSettles, "delivery::what_is_not_settled_is_in_flight"),
    (Defect::ForgetsItsSubscriptions, "delivery::health_lists_the_subscriptions"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_suite_notices_every_defect() {
    let trials = NOTICED.map(|(defect, check)| {
        let trial = async move { (defect, check, verdict_on(defect, check).await) };
        tokio::spawn(trial)
    });
    for trial in trials {
        let (defect, check, verdict) = trial.await.unwrap();
        assert!(
            matches!(verdict, Verdict::Failed(_)),
            "{defect:?} was not noticed by {check}: {verdict:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_suite_finds_nothing_where_there_is_no_defect() {
    for (_, check) in NOTICED {
        assert_eq!(verdict_on(Defect::None, check).await, Verdict::Passed, "{check}");
    }
    for outcome in super::run_all(Suspect(Defect::None)).await {
        assert!(!matches!(outcome.verdict, Verdict::Failed(_)), "{outcome:?}");
    }
}

async fn verdict_on(defect: Defect, name: &str) -> Verdict {
    let check = CHECKS.iter().find(|check| check.name == name).expect("there is such a check");
    check.apply_to(Arc::new(Suspect(defect))).await
}

struct Suspect(Defect);

impl Subject for Suspect {
    async fn connect(&self, process: Connect) -> Result<Arc<dyn Backend>, BackendError> {
        Ok(Arc::new(Defective::new(self.0, &process.config)))
    }

    fn redelivery_time(&self) -> Duration {
        Duration::ZERO
    }
}

/// The memory backend with a defect.
#[derive(Debug)]
struct Defective {
    inner: Arc<MemoryBackend>,
    defect: Defect,
    published: AtomicU32,
    held_back: Mutex<Option<Outgoing>>,
}

impl Defective {
    fn new(defect: Defect, config: &BackendConfig) -> Self {
        let inner = Arc::new(MemoryBackend::new(config));
        Self { inner, defect, published: AtomicU32::default(), held_back: Mutex::default() }
    }

    /// What is published in place of an event.
    fn instead_of(&self, event: Outgoing) -> Vec<Outgoing> {
        let number = self.published.fetch_add(1, SeqCst) + 1;
        let is_one_in_hundred = number % 100 == 50;
        match self.defect {
            Defect::LosesOneInHundred if is_one_in_hundred => vec![],
            Defect::DoublesOneInHundred if is_one_in_hundred => vec![event.clone(), event],
            Defect::SwapsOneInHundred => {
                let mut held_back = self.held_back.lock().unwrap();
                match held_back.take() {
                    None if is_one_in_hundred => {
                        *held_back = Some(event);
                        vec![]
                    }
                    late => [event].into_iter().chain(late).collect(),
                }
            }
            Defect::LosesTheFirstAfterSubscribing if number == 1 => vec![],
            Defect::LosesWhatIsDelayed if event.delay.is_some() => vec![],
            Defect::IgnoresDelays => vec![Outgoing { delay: None, ..event }],
            Defect::LosesHeadersAndKey | Defect::MakesNewIds | Defect::BreaksChains => {
                let metadata = self.spoil(event.envelope.metadata());
                let envelope = Envelope::new(metadata, event.envelope.payload().clone());
                vec![Outgoing { envelope, ..event }]
            }
            _ => vec![event],
        }
    }

    fn spoil(&self, metadata: &Metadata) -> Metadata {
        let new = Metadata::new(
            metadata.name().clone(),
            metadata.version(),
            super::process::SOURCE,
            (self.defect != Defect::BreaksChains).then(|| metadata.as_cause()).as_ref(),
        );
        match self.defect {
            Defect::MakesNewIds => new,
            _ => new.with_id(metadata.id()),
        }
    }
}

impl Backend for Defective {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn publish(&self, event: Outgoing) -> MaybeReady<'_, Result<(), BackendError>> {
        let events = self.instead_of(event);
        MaybeReady::pending(async move {
            for event in events {
                match self.inner.publish(event).await {
                    Err(_) if self.defect == Defect::TakesEventsWhenClosed => {}
                    result => result?,
                }
            }
            Ok(())
        })
    }

    fn subscribe(
        &self,
        mut spec: SubscriptionSpec,
    ) -> BoxFuture<'_, Result<Box<dyn Consumer>, BackendError>> {
        self.published.store(0, SeqCst);
        if self.defect == Defect::IgnoresNames {
            spec.topic = Topic::Pattern(crate::envelope::Pattern::parse("#").unwrap());
        }
        Box::pin(async move {
            let inner = self.inner.subscribe(spec).await?;
            let state = Arc::new(Mutex::new(State::default()));
            Ok(Box::new(DefectiveConsumer { inner, defect: self.defect, state }) as Box<_>)
        })
    }

    fn dead_letters(
        &self,
        subscribers: &[Arc<str>],
    ) -> BoxFuture<'_, Result<Box<dyn DeadLetterReader>, BackendError>> {
        let subscribers: Vec<Arc<str>> = match self.defect {
            Defect::ListsTheLettersOfAll => ["mail", "failing", "working"].map(Arc::from).into(),
            _ => subscribers.into(),
        };
        Box::pin(async move {
            let inner = self.inner.dead_letters(&subscribers).await?;
            let (backend, defect) = (Arc::clone(&self.inner), self.defect);
            Ok(Box::new(DefectiveReader { inner, backend, defect, subscribers }) as Box<_>)
        })
    }

    fn in_flight(&self) -> &InFlight {
        self.inner.in_flight()
    }

    fn drain(&self) {
        if self.defect != Defect::TakesEventsWhenDraining {
            self.inner.drain();
        }
    }

    fn health(&self) -> Health {
        match self.defect {
            Defect::ForgetsItsSubscriptions => Health::new(true, Vec::new()),
            _ => self.inner.health(),
        }
    }

    fn close(&self) -> BoxFuture<'_, Result<(), BackendError>> {
        self.inner.close()
    }
}

struct DefectiveReader {
    inner: Box<dyn DeadLetterReader>,
    backend: Arc<MemoryBackend>,
    defect: Defect,
    subscribers: Vec<Arc<str>>,
}

impl DeadLetterReader for DefectiveReader {
    fn next_page(&mut self) -> BoxFuture<'_, Result<Vec<DeadLetter>, BackendError>> {
        Box::pin(async {
            let mut page = self.inner.next_page().await?;
            if page.is_empty() && self.defect == Defect::ReadsLettersWithoutEnd {
                self.inner = self.backend.dead_letters(&self.subscribers).await?;
                page = self.inner.next_page().await?;
            }
            let spoil = |letter: DeadLetter| {
                let (backend, defect) = (Arc::clone(&self.backend), self.defect);
                let token = letter.token().to_owned();
                let store = DefectiveStore { backend, defect, kept: letter.clone() };
                letter.kept_as(token, Arc::new(store))
            };
            Ok(page.into_iter().map(spoil).collect())
        })
    }
}

struct DefectiveStore {
    backend: Arc<MemoryBackend>,
    defect: Defect,
    /// The letter as the backend gave it.
    kept: DeadLetter,
}

impl DeadLetterStore for DefectiveStore {
    fn replay(&self, letter: &DeadLetter) -> BoxFuture<'static, Result<bool, BackendError>> {
        let (backend, defect, kept) = (Arc::clone(&self.backend), self.defect, self.kept.clone());
        let envelope = letter.envelope.clone();
        Box::pin(async move {
            match defect {
                Defect::LosesWhatIsReplayed => kept.purge().await,
                Defect::ReplaysToEverybody | Defect::ReplaysTwice => {
                    let event = Outgoing { envelope, origin: Origin::Handler, delay: None };
                    backend.publish(event).await?;
                    match defect {
                        Defect::ReplaysTwice => kept.replay().await,
                        _ => kept.purge().await,
                    }
                }
                _ => kept.replay().await,
            }
        })
    }

    fn purge(&self, _: &DeadLetter) -> BoxFuture<'static, Result<bool, BackendError>> {
        match self.defect {
            Defect::PurgesNothing => Box::pin(std::future::ready(Ok(true))),
            _ => Box::pin(self.kept.clone().purge()),
        }
    }
}

struct DefectiveConsumer {
    inner: Box<dyn Consumer>,
    defect: Defect,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    is_cancelled: bool,
    open: u32,
}

impl Consumer for DefectiveConsumer {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Delivery>> {
        let (is_cancelled, open) = {
            let state = self.state.lock().unwrap();
            (state.is_cancelled, state.open)
        };
        match self.defect {
            Defect::EndsWithoutHandingOut if is_cancelled => return Poll::Ready(None),
            Defect::HandsOutOneAtATime if open > 0 => return Poll::Pending,
            _ => {}
        }
        match self.inner.poll_next(cx) {
            Poll::Ready(Some(delivery)) => {
                self.state.lock().unwrap().open += 1;
                let attempt = match self.defect {
                    Defect::CountsEveryAttemptAsTheFirst => 1,
                    _ => delivery.attempt(),
                };
                let (envelope, tag) = (delivery.envelope().clone(), delivery.tag());
                let settler = DefectiveSettler {
                    inner: Mutex::new(Some(delivery)),
                    defect: self.defect,
                    state: Arc::clone(&self.state),
                };
                Poll::Ready(Some(Delivery::new(envelope, attempt, Arc::new(settler), tag)))
            }
            Poll::Ready(None) if self.defect == Defect::NeverEnds => Poll::Pending,
            other => other,
        }
    }

    fn canceller(&self) -> Arc<dyn Cancel> {
        Arc::new(Canceller { inner: self.inner.canceller(), state: Arc::clone(&self.state) })
    }
}

struct Canceller {
    inner: Arc<dyn Cancel>,
    state: Arc<Mutex<State>>,
}

impl Cancel for Canceller {
    fn cancel(&self) {
        self.state.lock().unwrap().is_cancelled = true;
        self.inner.cancel();
    }
}

struct DefectiveSettler {
    /// `None` once it has been settled.
    inner: Mutex<Option<Delivery>>,
    defect: Defect,
    state: Arc<Mutex<State>>,
}

impl DefectiveSettler {
    fn take(&self) -> Delivery {
        self.state.lock().unwrap().open -= 1;
        self.inner.lock().unwrap().take().expect("it is settled once")
    }
}

impl Settle for DefectiveSettler {
    fn settle(
        &self,
        _: &Delivery,
        settlement: Settlement,
    ) -> MaybeReady<'static, Result<(), BackendError>> {
        let delivery = self.take();
        let settlement = match (self.defect, settlement) {
            (Defect::NeverSettles, Settlement::Ack) => {
                std::mem::forget(delivery);
                return MaybeReady::ready(Ok(()));
            }
            (Defect::LosesWhatIsRetried, Settlement::Retry { .. }) => Settlement::Ack,
            (Defect::RetriesAtOnce, Settlement::Retry { .. }) => {
                Settlement::Retry { after: Duration::ZERO }
            }
            (Defect::LosesDeadLetters, Settlement::DeadLetter(_)) => Settlement::Ack,
            (Defect::RedeliversDeadLetters, Settlement::DeadLetter(_)) => {
                Settlement::Retry { after: Duration::ZERO }
            }
            (_, settlement) => settlement,
        };
        delivery.settle(settlement)
    }

    fn give_back(&self, _: &Delivery) {
        let delivery = self.take();
        if self.defect == Defect::LosesWhatIsDropped {
            // The memory backend answers at once.
            let _ = delivery.settle(Settlement::Ack).now();
        }
    }
}
