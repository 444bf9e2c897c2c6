//! `EVENT_BACKEND=rabbitmq`: RabbitMQ (AMQP 0-9-1), 3.10 or later, with feature `rabbitmq`.
//!
#![doc = include_str!("server.md")]

mod acks;
mod broker;
mod dead_letters;
mod declare;
mod delays;
mod forwarder;
mod inbox;
mod link;
mod message;
mod mover;
mod names;
mod publisher;
mod readable;
mod session;
pub mod settings;
mod subscription;
mod subscriptions;
mod suspects;
mod taking_in;
mod tls;
mod topology;
mod watch;

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, atomic::AtomicBool},
    time::Duration,
};

use uuid::Uuid;

use self::{
    broker::Broker,
    dead_letters::DeadLetters,
    declare::answered,
    delays::LONGEST_WAIT,
    forwarder::{Forwarder, Problem},
    inbox::{Inbox, InboxConsumer, Intake},
    link::{BrokerConnector, Link},
    message::{Message, Messages},
    mover::Mover,
    names::Names,
    publisher::{Manner, OnItsWay, Publisher},
    settings::{EXCHANGE_NAME, EXCHANGE_TYPE, MAX_BLOCKED, PREFETCH, QUEUE_TYPE},
    subscription::{Running, Subscription},
    subscriptions::Subscriptions,
    suspects::Suspects,
    taking_in::TakingIn,
    topology::Topology,
    watch::Watch,
};
use crate::{
    backend::{Backend, Capabilities, Health, Outgoing, ServiceSubscriber, SubscriptionSpec},
    config::{BackendConfig, BusUrl, ExchangeType},
    dead_letters::DeadLetterReader,
    delivery::Consumer,
    destination::Destination,
    envelope::{EventName, Topic},
    error::BackendError,
    in_flight::InFlight,
    kit::{Deadline, Stage, TaskName, Tasks, pulse, retry},
    maybe_ready::{BoxFuture, MaybeReady},
    register_backend,
    registry::{BackendFactory, Connect},
};

register_backend!(
    BackendFactory::new("rabbitmq", CAPABILITIES, connect)
        .url(&["amqp", "amqps"], "amqp://localhost:5672")
        .settings(&[&EXCHANGE_NAME, &EXCHANGE_TYPE, &QUEUE_TYPE, &PREFETCH, &MAX_BLOCKED])
);

const CAPABILITIES: Capabilities =
    Capabilities::NONE.at_least_once().patterns().shared_work().remote().delay();

/// How many deliveries a subscriber holds at least that sets no number of its own.
const LEAST_PREFETCH: u32 = 32;

/// How long subscriptions have to hand out what they had taken in, when the bus is closed.
const HANDING_OUT: Duration = Duration::from_secs(5);

/// How long they then have to tell the broker what was settled.
const LAST_WORDS: Duration = Duration::from_secs(1);

fn connect(connect: Connect) -> BoxFuture<'static, Result<Arc<dyn Backend>, BackendError>> {
    Box::pin(async move {
        let backend = RabbitMqBackend::connect(connect).await?;
        Ok(Arc::new(backend) as Arc<dyn Backend>)
    })
}

/// RabbitMQ: see the [module](self).
pub struct RabbitMqBackend {
    bus: Arc<str>,
    config: BackendConfig,
    messages: Messages,
    topology: Arc<Topology>,
    publishing: Arc<Link>,
    consuming: Arc<Link>,
    /// For events.
    events: Publisher,
    /// For messages that have to arrive where they are sent.
    moves: Publisher,
    /// Why this process does not forward what has waited, if it does not.
    forwarding: Problem,
    subscriptions: Arc<Subscriptions>,
    dead_letters: Arc<DeadLetters>,
    in_flight: InFlight,
    stage: Stage,
    /// What publishes, forwards and watches.
    lasting: Tasks,
    /// What keeps subscriptions alive; they end by themselves.
    subscribed: Tasks,
    /// Tells this process apart from others.
    process: Uuid,
}

impl RabbitMqBackend {
    /// Connects to the broker at `config.url`, waiting up to `config.connect_timeout` for one that is late, and declares
    /// the exchange.
    ///
    /// # Errors
    ///
    /// When the URL is none of RabbitMQ; when the broker refuses us, as with a wrong password, at once; when it has not
    /// been reached in time; and when the exchange exists with another type.
    pub async fn connect(connect: Connect) -> Result<Self, BackendError> {
        let Connect { bus, service, config, .. } = connect;
        let names = Names::new(&config)?;
        let broker = || Broker::new(&config, format!("{service} {bus}"));
        let deadline = Deadline::after(config.connect_timeout);
        let connector = |purpose| Ok::<_, BackendError>(BrokerConnector::new(broker()?, purpose));
        let publishing = Link::connect(connector("publishing")?, deadline).await?;
        let consuming = Link::connect(connector("consuming")?, deadline).await?;

        let topology = Arc::new(Topology::new(&config, names.clone()));
        let declare = || async {
            answered("declare the exchange", topology.declare_exchange(&publishing)).await
        };
        let operation = || "prepare RabbitMQ for the bus".to_owned();
        retry(deadline, operation, || async { Ok(declare().await?) }).await?;

        let messages = Messages::new(&config, &service);
        let publisher = |manner| {
            let (link, topology) = (Arc::clone(&publishing), Arc::clone(&topology));
            Publisher::new(link, topology, manner, config.publish_timeout)
        };
        let (events, publishing_events) = publisher(Manner::events(config.unroutable));
        let (moves, moving) = publisher(Manner::moves());
        let subscriptions = Arc::<Subscriptions>::default();
        let dead_letters = Arc::new(DeadLetters {
            service: Arc::clone(&service),
            names,
            messages: messages.clone(),
            broker: broker()?,
            connection: Mutex::default(),
            limit: config.publish_timeout,
            moves: moves.clone(),
            subscriptions: Arc::clone(&subscriptions),
        });
        let lasting = Tasks::default();
        for outbox in publishing_events.into_iter().chain(moving) {
            let name = TaskName::of_bus("publishes", Arc::clone(&bus));
            lasting.spawn(name, outbox, |outbox| Box::pin(outbox.run()))?;
        }
        let forwarding = Problem::default();
        let forwarder = Forwarder {
            bus: Arc::clone(&bus),
            link: Arc::clone(&consuming),
            topology: Arc::clone(&topology),
            moves: moves.clone(),
            problem: forwarding.clone(),
        };
        let name = TaskName::of_bus("forwards what has waited", Arc::clone(&bus));
        lasting.spawn(name, forwarder, |forwarder| Box::pin(forwarder.run()))?;
        let watcher = Arc::new(Watch {
            bus: Arc::clone(&bus),
            subscriptions: Arc::clone(&subscriptions),
            consuming: Arc::clone(&consuming),
        });
        let beating = pulse(config.get(&MAX_BLOCKED), watcher);
        let beating = beating
            .map_err(|error| BackendError::other("watch the application's runtime", error))?;
        let name = TaskName::of_bus("watches the runtime", Arc::clone(&bus));
        // There is nothing in it that panics; what it watches for runs elsewhere.
        lasting.spawn(name, Some(beating), |beating| match beating.take() {
            Some(beating) => Box::pin(beating),
            None => Box::pin(std::future::ready(())),
        })?;
        Ok(Self {
            bus,
            config,
            messages,
            topology,
            publishing,
            consuming,
            events,
            moves,
            forwarding,
            subscriptions,
            dead_letters,
            in_flight: InFlight::default(),
            stage: Stage::default(),
            lasting,
            subscribed: Tasks::default(),
            process: Uuid::new_v4(),
        })
    }

    /// The message of an event, and who is to publish it.
    fn message(&self, event: &Outgoing) -> Result<(Message, &Publisher), BackendError> {
        if !self.stage.takes(event.origin, &self.in_flight) {
            return Err(BackendError::closed());
        }
        let names = &self.topology.names;
        let message = self.messages.event(&event.envelope, names.exchange.clone())?;
        let Some(delay) = event.delay else { return Ok((message, &self.events)) };
        if delay > LONGEST_WAIT {
            return Err(BackendError::other(
                format!("publish {} with a delay of {delay:?}", message.routing_key),
                format!("RabbitMQ takes delays of up to {} days", LONGEST_WAIT.as_secs() / 86_400),
            ));
        }
        Ok((message.after(delay, self.config.unroutable, names), &self.moves))
    }

    async fn publish_one(&self, event: &Outgoing) -> Result<(), BackendError> {
        let (message, publisher) = self.message(event)?;
        publisher.publish(message).await
    }

    /// Keeps as many events on their way as the publisher takes.
    async fn publish_many(
        &self,
        events: &mut (dyn Iterator<Item = Outgoing> + Send),
    ) -> Vec<Result<(), BackendError>> {
        let mut results = Vec::with_capacity(events.size_hint().0);
        let mut on_their_way: VecDeque<OnItsWay> = VecDeque::new();
        let mut failed = None;
        'events: for event in events {
            let begun = match self.message(&event) {
                Ok((message, publisher)) => publisher.begin(message).await,
                Err(error) => Err(error),
            };
            match begun {
                Ok(begun) => on_their_way.push_back(begun),
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
            while let Some(result) = on_their_way.front_mut().and_then(OnItsWay::try_confirmed) {
                on_their_way.pop_front();
                let is_failure = result.is_err();
                results.push(result);
                if is_failure {
                    break 'events;
                }
            }
        }
        for begun in on_their_way {
            results.push(begun.confirmed().await);
        }
        results.extend(failed.map(Err));
        results
    }

    async fn start(&self, spec: SubscriptionSpec) -> Result<Box<dyn Consumer>, BackendError> {
        if !self.stage.is_open() {
            return Err(BackendError::closed());
        }
        let SubscriptionSpec { subscriber, topic, service, broadcast, concurrency, .. } = spec;
        let operation = format!("subscribe {subscriber} to {topic}");
        if self.config.get(&EXCHANGE_TYPE) == ExchangeType::Direct
            && matches!(topic, Topic::Pattern(_))
        {
            return Err(BackendError::other(
                operation,
                "an exchange of type `direct` does not know patterns: set EVENT_EXCHANGE_TYPE to `topic`",
            ));
        }
        let names = self.topology.names.clone();
        let queues = names.queues(&service, &subscriber)?;
        let inbox = Arc::new(Inbox::new(subscriber, broadcast, self.in_flight.tally()));
        // Made before the wait, it gives everything back when the wait ends badly.
        let consumer = InboxConsumer::new(Arc::clone(&inbox));
        let suspects = Suspects {
            link: Arc::clone(&self.consuming),
            names: names.clone(),
            queues: queues.clone(),
            moves: self.moves.clone(),
            process: self.process,
            max_interruptions: self.config.max_interruptions,
            shows_life: AtomicBool::new(false),
            has_begun: AtomicBool::new(false),
        };
        let (mover, moving) = Mover::new(
            Arc::clone(&self.bus),
            self.messages.clone(),
            names,
            queues,
            self.moves.clone(),
            &inbox,
        );
        let taking_in = TakingIn {
            topology: Arc::clone(&self.topology),
            mover: Arc::clone(&mover),
            topic: topic.clone(),
            warned: Mutex::default(),
        };
        let subscription = Subscription {
            link: Arc::clone(&self.consuming),
            topology: Arc::clone(&self.topology),
            mover,
            suspects,
            topic,
            prefetch: self.config.prefetch_for(concurrency, LEAST_PREFETCH),
            inbox: Arc::clone(&inbox),
            taking_in,
        };
        let limit = self.config.connect_timeout;
        let establish = || async { Ok(subscription.establish().await?) };
        let live = retry(limit, || operation.clone(), establish).await?;
        let (bus, subscriber) = (Arc::clone(&self.bus), Arc::clone(&inbox.subscriber));
        let name = TaskName::of_subscriber("keeps a subscription alive", bus, subscriber);
        let mut has_run = false;
        let running = Running::new(subscription, live, moving);
        self.subscribed.spawn(name, running, move |running| {
            match std::mem::replace(&mut has_run, true) {
                false => Box::pin(running.run()),
                true => Box::pin(running.run_again()),
            }
        })?;
        self.subscriptions.add(inbox);
        Ok(Box::new(consumer))
    }
}

impl Backend for RabbitMqBackend {
    fn capabilities(&self) -> Capabilities {
        CAPABILITIES
    }

    fn publish(&self, event: Outgoing) -> MaybeReady<'_, Result<(), BackendError>> {
        MaybeReady::pending(async move { self.publish_one(&event).await })
    }

    fn publish_all<'a>(
        &'a self,
        events: &'a mut (dyn Iterator<Item = Outgoing> + Send),
    ) -> BoxFuture<'a, Vec<Result<(), BackendError>>> {
        Box::pin(self.publish_many(events))
    }

    fn subscribe(
        &self,
        spec: SubscriptionSpec,
    ) -> BoxFuture<'_, Result<Box<dyn Consumer>, BackendError>> {
        Box::pin(self.start(spec))
    }

    fn dead_letters(
        &self,
        subscribers: &[Arc<str>],
    ) -> BoxFuture<'_, Result<Box<dyn DeadLetterReader>, BackendError>> {
        let reader = self.dead_letters.read(subscribers);
        Box::pin(async { reader })
    }

    fn in_flight(&self) -> &InFlight {
        &self.in_flight
    }

    fn drain(&self) {
        self.stage.drain();
        self.subscriptions.advance(Intake::Cancelled);
    }

    fn destination(
        &self,
        event: &EventName,
        reader: Option<ServiceSubscriber<'_>>,
    ) -> Option<Destination> {
        let names = &self.topology.names;
        let mut name = format!("{}:{event}", names.exchange);
        if let Some(ServiceSubscriber { service, subscriber }) = reader
            && let Ok(queues) = names.queues(service, subscriber)
        {
            name.extend([":", queues.queue.as_str()]);
        }
        let url = self.config.url.as_ref();
        let port = |url: &BusUrl| if url.scheme() == "amqps" { 5671 } else { 5672 };
        let server = url.and_then(|url| Some(url.server()?.or_port(port(url))));
        Some(
            Destination::new(Arc::from("rabbitmq"), name)
                .with_routing_key(event.as_str())
                .with_server(server),
        )
    }

    fn health(&self) -> Health {
        let problem = self.publishing.problem().or_else(|| self.consuming.problem());
        let is_up = self.stage.is_open() && problem.is_none();
        let problem = problem.map(Arc::from).or_else(|| self.forwarding.get());
        Health::new(is_up, self.subscriptions.health()).with_problem(problem)
    }

    fn close(&self) -> BoxFuture<'_, Result<(), BackendError>> {
        Box::pin(async {
            self.stage.close();
            for (stage, limit) in [(Intake::Cancelled, HANDING_OUT), (Intake::Closed, LAST_WORDS)] {
                self.subscriptions.advance(stage);
                self.subscribed.finish(limit).await;
            }
            self.subscribed.close().await;
            self.consuming.close().await;
            self.publishing.close().await;
            self.lasting.close().await;
            Ok(())
        })
    }
}

impl fmt::Debug for RabbitMqBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RabbitMqBackend")
            .field("bus", &self.bus)
            .field("config", &self.config)
            .field("problem", &self.health().problem)
            .finish_non_exhaustive()
    }
}
