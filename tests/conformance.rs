//! The conformance suite, on every backend of the framework.

use std::sync::Arc;

use aury_events_backends::{
    Backend, BackendError, BackendFactory, conformance::Subject, conformance_tests,
    registry::Connect,
};

mod brokers;

async fn connect(backend: &str, process: Connect) -> Result<Arc<dyn Backend>, BackendError> {
    let factory = BackendFactory::find(backend).unwrap_or_else(|| panic!("{backend} is linked"));
    factory.connect(process).await
}

mod memory {
    use super::*;

    /// Each process has a store of its own: there is no way from one to another.
    struct Memory;

    impl Subject for Memory {
        async fn connect(&self, process: Connect) -> Result<Arc<dyn Backend>, BackendError> {
            connect("memory", process).await
        }
    }

    conformance_tests!(Memory);
}

#[cfg(feature = "redis")]
mod redis_server {
    use std::{
        sync::{Mutex, MutexGuard, PoisonError},
        time::Duration,
    };

    use aury_events_backends::{
        EventName,
        conformance::{Fault, Unsupported},
        redis::{
            settings::KEY_PREFIX,
            streams::{StreamsBackend, Timing},
        },
    };

    use super::*;
    use crate::brokers::{Proxy, RedisOptions, RedisServer};

    /// A server of the check's own, reached through a proxy.
    pub(super) struct Redis {
        backend: &'static str,
        server: Mutex<RedisServer>,
        proxy: Proxy,
    }

    impl Redis {
        pub(super) fn pub_sub() -> Self {
            Self::of("redis", RedisOptions::default())
        }

        pub(super) fn streams() -> Self {
            Self::of("redis-streams", RedisOptions::default().durable())
        }

        fn of(backend: &'static str, options: RedisOptions) -> Self {
            let server = RedisServer::start_with(options);
            let proxy = Proxy::to(server.address());
            Self { backend, server: Mutex::new(server), proxy }
        }

        fn server(&self) -> MutexGuard<'_, RedisServer> {
            self.server.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }

    /// Such that one bus's can begin with another's, the better to be mistaken for it.
    fn prefix_of(process: &Connect) -> String {
        process.bus.replace('_', ":") + ":"
    }

    impl Subject for Redis {
        async fn connect(&self, mut process: Connect) -> Result<Arc<dyn Backend>, BackendError> {
            let url = self.server().url_by(self.proxy.address());
            process.config.url = Some(url.parse().expect("the harness gives URLs"));
            process.config.set(&KEY_PREFIX, prefix_of(&process)).expect("any text is a prefix");
            if self.backend != "redis-streams" {
                return connect(self.backend, process).await;
            }
            // As short as the machine's own delays allow, so that takeovers can be waited for.
            let mut timing = Timing::default();
            timing.min_idle = Duration::from_secs(2);
            Ok(Arc::new(StreamsBackend::connect(process, timing).await?))
        }

        async fn inflict(&self, fault: Fault) -> Result<(), Unsupported> {
            match fault {
                Fault::Stop => self.server().stop(),
                Fault::Kill => self.server().kill(),
                Fault::Start => self.server().start_again(),
                Fault::Pause => self.server().pause(),
                Fault::Resume => self.server().resume(),
                Fault::CutConnections => self.proxy.cut(),
                other => return Err(Unsupported::new(format!("{other}: not here"))),
            }
            Ok(())
        }

        async fn publish_raw(
            &self,
            process: &Connect,
            name: &EventName,
            bytes: &[u8],
        ) -> Result<(), Unsupported> {
            let place = format!("{}{name}", prefix_of(process));
            let place = place.as_bytes();
            let answer = match self.backend {
                "redis" => self.server().command(&[b"PUBLISH", place, bytes]),
                _ => self.server().command(&[b"XADD", place, b"*", b"event", bytes]),
            };
            let answer = answer.expect("the server answers");
            assert!(!answer.starts_with('-'), "{answer}");
            Ok(())
        }

        /// Two seconds are the promise, and `tests/redis` measures them. Here dozens of servers and suites share a
        /// machine of few cores.
        fn recovery_time(&self) -> Duration {
            Duration::from_secs(10)
        }

        fn redelivery_time(&self) -> Duration {
            Duration::from_secs(4)
        }
    }
}

#[cfg(feature = "redis")]
mod redis {
    use super::*;
    use crate::redis_server::Redis;

    conformance_tests! {
        #[ignore = "needs redis-server; tests/run installs it"]
        subject = Redis::pub_sub()
    }
}

#[cfg(feature = "redis")]
mod redis_streams {
    use super::*;
    use crate::redis_server::Redis;

    conformance_tests! {
        #[ignore = "needs redis-server; tests/run installs it"]
        subject = Redis::streams()
    }
}

#[cfg(feature = "redis")]
mod redis_cluster {
    use std::{
        sync::{Mutex, MutexGuard, PoisonError, Weak},
        time::Duration,
    };

    use aury_events_backends::{
        EventName,
        conformance::{Fault, Unsupported},
        redis::{
            settings::KEY_PREFIX,
            streams::{StreamsBackend, Timing},
        },
    };

    use super::*;
    use crate::brokers::{RedisCluster, RedisOptions};

    /// The keys of all buses are on the node that has this one.
    const TAG: &str = "{shop}";

    /// Streams on a cluster that other checks use too, or on one of the check's own.
    struct Cluster {
        cluster: Arc<Mutex<RedisCluster>>,
        is_own: bool,
        url: String,
        owner: usize,
    }

    impl Cluster {
        fn shared() -> Self {
            static SHARED: Mutex<Weak<Mutex<RedisCluster>>> = Mutex::new(Weak::new());
            let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
            let cluster = shared.upgrade().unwrap_or_else(start);
            *shared = Arc::downgrade(&cluster);
            Self::of(cluster, false)
        }

        fn own() -> Self {
            Self::of(start(), true)
        }

        fn of(cluster: Arc<Mutex<RedisCluster>>, is_own: bool) -> Self {
            let (url, owner) = {
                let cluster = cluster.lock().unwrap_or_else(PoisonError::into_inner);
                (cluster.url(), cluster.owner_of(TAG))
            };
            Self { cluster, is_own, url, owner }
        }

        fn cluster(&self) -> MutexGuard<'_, RedisCluster> {
            self.cluster.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }

    fn start() -> Arc<Mutex<RedisCluster>> {
        let options = RedisOptions::default().durable();
        Arc::new(Mutex::new(RedisCluster::start_with(options)))
    }

    fn prefix_of(process: &Connect) -> String {
        format!("{TAG}:{}:", process.bus.replace('_', ":"))
    }

    impl Subject for Cluster {
        async fn connect(&self, mut process: Connect) -> Result<Arc<dyn Backend>, BackendError> {
            process.config.url = Some(self.url.parse().expect("the harness gives URLs"));
            process.config.set(&KEY_PREFIX, prefix_of(&process)).expect("any text is a prefix");
            let mut timing = Timing::default();
            timing.min_idle = Duration::from_secs(2);
            Ok(Arc::new(StreamsBackend::connect(process, timing).await?))
        }

        /// What happens to a server happens to the node that has the keys: one that is killed is replaced by its replica.
        async fn inflict(&self, fault: Fault) -> Result<(), Unsupported> {
            if !self.is_own {
                return Err(Unsupported::new("the cluster is shared"));
            }
            match fault {
                Fault::Kill => self.cluster().kill(self.owner),
                Fault::Start => self.cluster().start_again(self.owner),
                Fault::CutConnections => {
                    let mut cluster = self.cluster();
                    let leader = cluster.leader_of(self.owner);
                    leader.ask("CLIENT KILL TYPE normal").expect("it answers");
                }
                other => return Err(Unsupported::new(format!("{other}: not here"))),
            }
            Ok(())
        }

        async fn publish_raw(
            &self,
            process: &Connect,
            name: &EventName,
            bytes: &[u8],
        ) -> Result<(), Unsupported> {
            let stream = format!("{}{name}", prefix_of(process));
            let add: [&[u8]; 5] = [b"XADD", stream.as_bytes(), b"*", b"event", bytes];
            let answer = self.cluster().leader_of(self.owner).command(&add);
            let answer = answer.expect("the server answers");
            assert!(!answer.starts_with('-'), "{answer}");
            Ok(())
        }

        fn recovery_time(&self) -> Duration {
            Duration::from_secs(15)
        }

        fn redelivery_time(&self) -> Duration {
            Duration::from_secs(4)
        }
    }

    conformance_tests! {
        #[ignore = "needs redis-server; tests/run installs it"]
        subject = Cluster::shared(),
        faults = Cluster::own()
    }
}

#[cfg(feature = "rabbitmq")]
mod rabbitmq_server {
    use std::{
        sync::{Mutex, MutexGuard, PoisonError},
        time::Duration,
    };

    use aury_events_backends::{
        EventName,
        config::QueueType,
        conformance::{Fault, Unsupported},
        rabbitmq::settings::{EXCHANGE_NAME, QUEUE_TYPE},
    };

    use super::*;
    use crate::brokers::{Amqp, Leased, Proxy, RabbitServer};

    /// A server that other checks use too, or one that is the check's own for its time; reached through a proxy.
    pub(super) struct RabbitMq {
        queue_type: QueueType,
        url: String,
        own: Option<Mutex<Leased>>,
        proxy: Proxy,
    }

    impl RabbitMq {
        pub(super) fn shared(queue_type: QueueType) -> Self {
            Self::of(queue_type, RabbitServer::shared())
        }

        pub(super) fn own(queue_type: QueueType) -> Self {
            let server = RabbitServer::lease();
            let subject = Self::of(queue_type, &server);
            Self { own: Some(Mutex::new(server)), ..subject }
        }

        fn of(queue_type: QueueType, server: &RabbitServer) -> Self {
            let proxy = Proxy::to(server.address());
            // A process that the suite kills leaves its sockets open, since those of the client library live in threads
            // of their own. It is by its heartbeats that the server misses it.
            let url = server.url_by(proxy.address()) + "?heartbeat=5";
            Self { queue_type, url, own: None, proxy }
        }

        fn server(&self) -> Result<MutexGuard<'_, Leased>, Unsupported> {
            let own = self.own.as_ref().ok_or_else(|| Unsupported::new("the server is shared"))?;
            Ok(own.lock().unwrap_or_else(PoisonError::into_inner))
        }
    }

    /// As for the prefix on Redis.
    fn exchange_of(process: &Connect) -> String {
        process.bus.replace('_', ".")
    }

    impl Subject for RabbitMq {
        async fn connect(&self, mut process: Connect) -> Result<Arc<dyn Backend>, BackendError> {
            process.config.url = Some(self.url.parse().expect("the harness gives URLs"));
            process.config.set(&QUEUE_TYPE, self.queue_type).expect("it is one");
            process.config.set(&EXCHANGE_NAME, exchange_of(&process)).expect("it is short");
            connect("rabbitmq", process).await
        }

        async fn inflict(&self, fault: Fault) -> Result<(), Unsupported> {
            match fault {
                Fault::Stop => self.server()?.stop(),
                Fault::Kill => self.server()?.kill(),
                Fault::Start => self.server()?.start_again(),
                Fault::Pause => self.server()?.pause(),
                Fault::Resume => self.server()?.resume(),
                Fault::CutConnections => self.proxy.cut(),
                other => return Err(Unsupported::new(format!("{other}: not here"))),
            }
            Ok(())
        }

        async fn publish_raw(
            &self,
            process: &Connect,
            name: &EventName,
            bytes: &[u8],
        ) -> Result<(), Unsupported> {
            let amqp = Amqp::connect(&self.url).await;
            amqp.publish(&exchange_of(process), name.as_str(), bytes).await;
            Ok(())
        }

        /// After its return the server still has to elect a leader for each queue, on a machine of few cores.
        fn recovery_time(&self) -> Duration {
            Duration::from_secs(15)
        }

        fn redelivery_time(&self) -> Duration {
            Duration::from_secs(4)
        }
    }
}

#[cfg(feature = "rabbitmq")]
mod rabbitmq_quorum {
    use aury_events_backends::config::QueueType::Quorum;

    use super::*;
    use crate::rabbitmq_server::RabbitMq;

    conformance_tests! {
        #[ignore = "needs rabbitmq-server; tests/run installs it"]
        subject = RabbitMq::shared(Quorum),
        faults = RabbitMq::own(Quorum)
    }
}

#[cfg(feature = "rabbitmq")]
mod rabbitmq_classic {
    use aury_events_backends::config::QueueType::Classic;

    use super::*;
    use crate::rabbitmq_server::RabbitMq;

    conformance_tests! {
        #[ignore = "needs rabbitmq-server; tests/run installs it"]
        subject = RabbitMq::shared(Classic),
        faults = RabbitMq::own(Classic)
    }
}
