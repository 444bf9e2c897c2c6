//! How a manager is described and started.

use std::{collections::BTreeMap, fmt, path::Path, sync::Arc};

use aury_events_backends::{
    BackendFactory, BoxFuture, IdempotencyStore, InFlight, idempotency::MemoryIdempotency,
    kit::lock, registry::Connect,
};
use once_cell::sync::Lazy;

use super::{
    EventBusManager,
    startup::{self, Plan},
};
use crate::{
    config::{
        BusConfig, ConfigProblem, Environment, SubscriberFilter, check_bus, check_service,
        check_source, check_subscribers,
    },
    declared::{Catalogue, DEFAULT_BUS},
    dispatch::SubscriberEntry,
    error::{BackendFailure, Problem, StartError},
    runtime::{
        AsyncRuntime, Breakers, BusCore, CircuitBreaker, Core, Ending, Handle, Middleware, States,
    },
};

/// How many events may precede one in its chain, unless said otherwise.
const MAX_HOPS: u16 = 64;

/// Describes an [`EventBusManager`]: its buses, its state, and which subscribers it runs.
///
/// Made by [`EventBusManager::builder`]. Without further calls, it is a `default` bus inside the process with all
/// subscribers that are linked into the program.
#[derive(Default)]
#[must_use = "nothing happens until `start` or `init` is called and awaited"]
pub struct EventBusManagerBuilder {
    buses: BTreeMap<String, BusConfig>,
    states: States,
    middleware: Vec<Box<dyn Middleware>>,
    breakers: Breakers,
    breaker_problems: Vec<ConfigProblem>,
    idempotency: Option<Box<dyn IdempotencyStore>>,
    service: Option<String>,
    source: Option<String>,
    max_hops: Option<u16>,
    continue_traces: Option<bool>,
    subscribers: Option<String>,
    from_env: bool,
}

impl EventBusManager {
    /// Starts to describe a manager.
    ///
    /// ```standalone_crate
    /// use aury_events::prelude::*;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), aury_events::Error> {
    /// let events = EventBusManager::builder()
    ///     .bus("domain", BusConfig::memory())
    ///     .state("anything that subscribers take as State<&'static str>")
    ///     .start()
    ///     .await?;
    /// assert_eq!(events.get_instance("domain")?.name(), "domain");
    /// events.shutdown().await?;
    /// # Ok(()) }
    /// ```
    pub fn builder() -> EventBusManagerBuilder {
        EventBusManagerBuilder::default()
    }
}

impl EventBusManagerBuilder {
    /// Adds a bus, or replaces the one of that name.
    pub fn bus(mut self, name: impl Into<String>, config: BusConfig) -> Self {
        self.buses.insert(name.into(), config);
        self
    }

    /// Gives a value that subscribers take as [`State<T>`](crate::State): one of each type.
    pub fn state<T: Clone + Send + Sync + 'static>(mut self, value: T) -> Self {
        self.states.add(value);
        self
    }

    /// Adds what is to be done around every handler: see [`Middleware`] and
    /// [`from_fn`](crate::middleware::from_fn). The one that is added first is the outermost.
    pub fn middleware(mut self, middleware: impl Middleware) -> Self {
        self.middleware.push(Box::new(middleware));
        self
    }

    /// Has subscribers pause that keep failing: those whose ids these globs select, as in
    /// [`subscribers`](Self::subscribers). Of several that select one, the first counts.
    pub fn circuit_breaker(mut self, globs: impl AsRef<str>, breaker: CircuitBreaker) -> Self {
        self.breaker_problems.extend(check_subscribers(globs.as_ref()).err());
        self.breakers.add(globs.as_ref(), breaker);
        self
    }

    /// Sets where `idempotent` subscribers remember what they have handled: see [`IdempotencyStore`]. Default: in this
    /// process, the latest 65,536 events of each subscriber.
    pub fn idempotency(mut self, store: impl IdempotencyStore) -> Self {
        self.idempotency = Some(Box::new(store));
        self
    }

    /// Sets the service that this process belongs to: all processes of one application. Default: the binary's name.
    pub fn service(mut self, name: impl Into<String>) -> Self {
        self.service = Some(name.into());
        self
    }

    /// Sets what events carry as their source. Default: `/` and the service.
    pub fn source(mut self, source: impl Into<String>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Sets how many events may precede one in its chain, before it is taken for a loop. Default: 64.
    pub fn max_hops(mut self, hops: u16) -> Self {
        self.max_hops = Some(hops);
        self
    }

    /// Makes the OpenTelemetry span of a handler a child of the span that published the event, so that one trace holds a
    /// whole chain. Default: the handler starts a trace of its own, with a link to that span, as the conventions for
    /// messaging recommend. It has an effect with feature `opentelemetry` alone; a batch has links in any case.
    pub fn continue_traces(mut self, continue_traces: bool) -> Self {
        self.continue_traces = Some(continue_traces);
        self
    }

    /// Selects the subscribers to run by their ids: globs separated by commas, in which `*` stands for any run of
    /// characters; `none` for a process that only publishes. Default: `*`.
    pub fn subscribers(mut self, globs: impl Into<String>) -> Self {
        self.subscribers = Some(globs.into());
        self
    }

    /// Adds what the process's environment says; it wins over what code says, a bus as a whole. See [`BusConfig`]
    /// for the variables.
    pub fn from_env(mut self) -> Self {
        self.from_env = true;
        self
    }

    /// Starts the manager. When it returns, every subscription is live: an event published next is not missed.
    ///
    /// Dropping the future before ends what had been started.
    ///
    /// # Errors
    ///
    /// All problems at once, each with its place.
    pub async fn start(self) -> Result<EventBusManager, StartError> {
        self.boxed_start().await
    }

    /// No `async fn`: those are compiled with each program that awaits them, and this is much code.
    fn boxed_start(self) -> BoxFuture<'static, Result<EventBusManager, StartError>> {
        Box::pin(self.start_all())
    }

    async fn start_all(mut self) -> Result<EventBusManager, StartError> {
        let mut problems: Vec<_> =
            self.buses.keys().filter_map(|name| check_bus(name).err()).collect();
        problems.extend(self.service.iter().filter_map(|name| check_service(name).err()));
        problems.extend(self.source.iter().filter_map(|uri| check_source(uri).err()));
        problems.extend(self.subscribers.iter().filter_map(|globs| check_subscribers(globs).err()));
        problems.append(&mut self.breaker_problems);
        if self.from_env {
            problems.extend(self.apply(Environment::from_process()));
        }
        self.buses.entry(DEFAULT_BUS.to_owned()).or_insert_with(BusConfig::memory);
        let is_service_given = self.service.is_some();
        let service = self.service.take().unwrap_or_else(name_of_binary);

        let filter = SubscriberFilter::parse(self.subscribers.as_deref().unwrap_or("*"));
        let subscribers = startup::selected(&filter);
        let declared: Vec<_> = subscribers.iter().map(|entry| &entry.declaration).collect();
        let plan = Plan { buses: &self.buses, subscribers: &declared, states: &self.states };
        let mut problems: Vec<_> = problems.into_iter().map(Problem::Config).collect();
        problems.extend(plan.problems());
        StartError::unless_none(problems)?;
        startup::warn_of_silence();
        plan.warn_of_idle_settings();
        plan.warn_of_idle_buses();

        let starting = Starting(Some(self.connect(service, Catalogue::of(&declared)).await?));
        starting.subscribe(&subscribers).await?;
        let manager = starting.done();
        if !is_service_given {
            startup::report_service(&manager.0.service, &manager.0.buses);
        }
        startup::report_buses(&manager.0.buses, &subscribers);
        startup::report(subscribers.len(), &filter);
        Ok(manager)
    }

    /// Takes over what the environment says; gives what is wrong with it.
    fn apply(&mut self, environment: Environment) -> Vec<ConfigProblem> {
        for warning in &environment.warnings {
            tracing::warn!("{warning}");
        }
        for (name, config) in environment.buses {
            if config.is_given() {
                self.buses.insert(name, config);
            }
        }
        self.service = environment.service.or(self.service.take());
        self.source = environment.source.or(self.source.take());
        self.max_hops = environment.max_hops.or(self.max_hops);
        self.continue_traces = environment.continue_traces.or(self.continue_traces);
        self.subscribers = environment.subscribers.or(self.subscribers.take());
        environment.problems
    }

    /// Connects all buses.
    async fn connect(
        self,
        service: String,
        catalogue: Catalogue,
    ) -> Result<EventBusManager, StartError> {
        let service: Arc<str> = service.into();
        let source = interned(&self.source.unwrap_or_else(|| format!("/{service}")));
        let async_runtime = AsyncRuntime::watch();
        let mut buses = Vec::new();
        let mut problems = Vec::new();
        for (name, config) in self.buses {
            let name: Arc<str> = name.into();
            let factory =
                BackendFactory::find(config.backend_name()).expect("the plan's backends exist");
            let told = config.backend_config();
            let limit = told.shutdown_timeout;
            let address = told.url.as_ref().map(ToString::to_string);
            let connect = Connect::new(Arc::clone(&name), Arc::clone(&service), source, told);
            match factory.connect(connect).await {
                Ok(backend) => {
                    let backend_name = config.backend_name().to_owned();
                    buses.push(BusCore::new(name, backend, backend_name, address, limit));
                }
                Err(error) => {
                    problems.push(Problem::Backend(BackendFailure::new("start", &name, error)))
                }
            }
        }
        if !problems.is_empty() {
            for bus in &buses {
                // The problems at hand are what the caller has to know.
                let _ = bus.backend().close().await;
            }
        }
        StartError::unless_none(problems)?;
        let in_flight: Vec<_> = buses.iter().map(|bus| bus.backend().in_flight().clone()).collect();
        InFlight::link(&in_flight);
        Ok(EventBusManager::new(Handle::new(|handle| Core {
            buses,
            service,
            source,
            max_hops: self.max_hops.unwrap_or(MAX_HOPS),
            continue_traces: self.continue_traces.unwrap_or(false),
            states: self.states,
            middleware: self.middleware,
            breakers: self.breakers,
            idempotency: self.idempotency.unwrap_or_else(|| Box::<MemoryIdempotency>::default()),
            catalogue,
            async_runtime,
            ending: Ending::default(),
            is_shut_down: tokio::sync::Mutex::default(),
            spawned: std::sync::Mutex::default(),
            handle,
        })))
    }
}

impl fmt::Debug for EventBusManagerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventBusManagerBuilder")
            .field("buses", &self.buses)
            .field("states", &self.states)
            .field("middleware", &self.middleware.len())
            .field("service", &self.service)
            .field("subscribers", &self.subscribers)
            .finish_non_exhaustive()
    }
}

/// A manager whose subscriptions are being started. Dropped before that is done, it ends those that run.
struct Starting(Option<EventBusManager>);

impl Starting {
    /// Starts all subscriptions.
    async fn subscribe(&self, subscribers: &[&'static SubscriberEntry]) -> Result<(), StartError> {
        let mut problems = Vec::new();
        for entry in subscribers {
            let manager = self.0.as_ref().expect("it is taken at the end alone");
            let bus = manager.get_instance(entry.declaration.bus).expect("the plan's buses exist");
            if let Err(failure) = bus.start_linked(entry).await {
                problems.push(Problem::Backend(failure));
            }
        }
        StartError::unless_none(problems)
    }

    fn done(mut self) -> EventBusManager {
        self.0.take().expect("it is taken here alone")
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        if let Some(manager) = self.0.take() {
            manager.0.give_up();
        }
    }
}

/// The name of the program that runs, as far as a service may be called that.
fn name_of_binary() -> String {
    name_of_program(std::env::current_exe().ok().as_deref())
}

fn name_of_program(program: Option<&Path>) -> String {
    let name = program.and_then(|path| path.file_stem()?.to_str()).unwrap_or_default();
    // Cargo's tests have a hash behind their names, which changes with every build.
    let name = match name.rsplit_once('-') {
        Some((test, hash)) if hash.len() == 16 && hash.bytes().all(|b| b.is_ascii_hexdigit()) => {
            test
        }
        _ => name,
    };
    let fits = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    let name: String = name.chars().map(|c| if fits(c) { c } else { '-' }).collect();
    if name.is_empty() { "aury-events".to_owned() } else { name }
}

/// A text that lives as long as the process, kept once. There are as many as there are services in it: one, mostly.
fn interned(text: &str) -> &'static str {
    use std::{collections::HashSet, sync::Mutex};
    static TEXTS: Lazy<Mutex<HashSet<&'static str>>> = Lazy::new(Mutex::default);

    let mut texts = lock(&TEXTS);
    texts.get(text).copied().unwrap_or_else(|| {
        let text = Box::leak(text.to_owned().into_boxed_str());
        texts.insert(text);
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_called_after_its_program_without_the_hash_of_a_test() {
        let name = |path: &str| name_of_program(Some(Path::new(path)));
        assert_eq!(name("/usr/bin/shop.exe"), "shop");
        assert_eq!(name("target/debug/deps/orders-0a1b2c3d4e5f6789"), "orders");
        assert_eq!(name("/usr/bin/night-shop"), "night-shop");
        assert_eq!(name("/usr/bin/größe 1"), "gr--e-1");
        assert_eq!(name_of_program(None), "aury-events");
    }
}
