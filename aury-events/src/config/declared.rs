//! What backends have declared about themselves: the core knows no backend but by this.

use std::collections::BTreeMap;

use aury_events_backends::{
    BackendFactory,
    config::{AnySetting, COMMON, Common},
    registry::Absent,
};

/// The setting of that name: as every backend has it, or as this backend declares it, or else any other.
pub(super) fn declaration(backend: &str, name: &str) -> Option<&'static dyn AnySetting> {
    let own = || BackendFactory::find(backend)?.own_setting(name);
    let foreign = || BackendFactory::all().into_iter().find_map(|it| it.own_setting(name));
    Common::find(name).map(Common::setting).or_else(own).or_else(foreign)
}

/// The names of all settings that a bus can have in this program.
pub(super) fn settings() -> Vec<&'static str> {
    let common = COMMON.iter().map(Common::setting);
    let own = BackendFactory::all().into_iter().flat_map(|it| it.own_settings().iter().copied());
    let names: BTreeMap<_, _> = common.chain(own).map(|it| (it.name(), ())).collect();
    names.into_keys().collect()
}

/// The linked backends that declare a setting of that name.
pub(super) fn owners(name: &str) -> Vec<&'static str> {
    let all = BackendFactory::all().into_iter();
    all.filter(|it| it.own_setting(name).is_some()).map(BackendFactory::name).collect()
}

/// The backends that a URL of that scheme means by itself: those that are linked, and those that a Cargo feature adds.
pub(super) fn meant_by(scheme: &str) -> Vec<&'static str> {
    let linked = BackendFactory::all().into_iter().filter(|it| it.is_meant_by(scheme));
    let absent = Absent::all().iter().filter(|it| it.schemes().contains(&scheme));
    linked.map(BackendFactory::name).chain(absent.map(Absent::name)).collect()
}

/// All schemes that mean a backend by themselves.
pub(super) fn schemes() -> Vec<&'static str> {
    let linked = BackendFactory::all().into_iter().map(BackendFactory::schemes);
    let absent = Absent::all().iter().map(Absent::schemes);
    let mut schemes: Vec<_> = linked.chain(absent).flatten().copied().collect();
    schemes.retain(|scheme| !meant_by(scheme).is_empty());
    schemes.sort_unstable();
    schemes.dedup();
    schemes
}
