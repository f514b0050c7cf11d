//! The SchemaRollouts, by class and revision.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crds::SchemaRollout;
use kube::ResourceExt as _;
use kube::runtime::watcher::Event;
use parking_lot::RwLock;

use super::version_of;

/// The rollouts of a class, oldest first.
pub type ClassRollouts = Vec<Arc<SchemaRollout>>;

/// All rollouts, as the watch or the controller's own writes last showed them.
#[derive(Debug, Default)]
pub struct RolloutCache(RwLock<State>);

#[derive(Debug, Default)]
struct State {
    by_name: HashMap<String, Arc<SchemaRollout>>,
    by_class: HashMap<String, BTreeMap<(i64, String), Arc<SchemaRollout>>>,
    /// The initial list, until it is complete.
    initial: Option<Vec<SchemaRollout>>,
}

impl RolloutCache {
    pub fn of_class(&self, class: &str) -> ClassRollouts {
        let state = self.0.read();
        state
            .by_class
            .get(class)
            .map(|rollouts| rollouts.values().cloned().collect())
            .unwrap_or_default()
    }

    /// The newest rollout of a class, which determines the schema of the class's Tenants.
    pub fn newest(&self, class: &str) -> Option<Arc<SchemaRollout>> {
        let state = self.0.read();
        Some(state.by_class.get(class)?.last_key_value()?.1.clone())
    }

    /// Whether the newest rollout of a class has not ended.
    pub fn is_active(&self, class: &str) -> bool {
        self.newest(class).is_some_and(|newest| {
            let phase = newest.status.as_ref().and_then(|status| status.phase);
            !phase.is_some_and(crds::RolloutPhase::is_final)
        })
    }

    /// Whether the spec of a rollout is the known one.
    pub fn has_generation_of(&self, rollout: &SchemaRollout) -> bool {
        let state = self.0.read();
        let known = state.by_name.get(&rollout.name_any());
        known.is_some_and(|known| known.metadata.generation == rollout.metadata.generation)
    }

    /// Applies an event of the watch. Returns the classes that it concerns.
    pub fn apply_event(&self, event: Event<SchemaRollout>) -> Vec<String> {
        let mut state = self.0.write();
        match event {
            Event::Init => state.initial = Some(Vec::new()),
            Event::InitApply(rollout) => state.initial.get_or_insert_default().push(rollout),
            Event::InitDone => {
                let initial = state.initial.take().unwrap_or_default();
                let mut classes: Vec<String> = state.by_class.keys().cloned().collect();
                *state = State::default();
                for rollout in initial {
                    classes.push(rollout.spec.class_name.clone());
                    state.insert(rollout);
                }
                classes.sort_unstable();
                classes.dedup();
                return classes;
            }
            Event::Apply(rollout) => {
                let class = rollout.spec.class_name.clone();
                state.insert(rollout);
                return vec![class];
            }
            Event::Delete(rollout) => {
                state.remove(&rollout.name_any());
                return vec![rollout.spec.class_name];
            }
        }
        Vec::new()
    }

    /// Records what an own write returned.
    pub fn record_write(&self, rollout: SchemaRollout) {
        self.0.write().insert(rollout);
    }

    /// Forgets a rollout that the controller deleted.
    pub fn remove(&self, name: &str) {
        self.0.write().remove(name);
    }
}

impl State {
    /// Keeps the newer of two versions of an object: the watch may lag behind own writes.
    fn insert(&mut self, rollout: SchemaRollout) {
        let name = rollout.name_any();
        if let Some(known) = self.by_name.get(&name) {
            if known.uid() == rollout.uid()
                && version_of(&known.metadata) > version_of(&rollout.metadata)
            {
                return;
            }
            self.remove(&name);
        }
        let rollout = Arc::new(rollout);
        let key = (rollout.spec.revision, name.clone());
        self.by_class
            .entry(rollout.spec.class_name.clone())
            .or_default()
            .insert(key, rollout.clone());
        self.by_name.insert(name, rollout);
    }

    fn remove(&mut self, name: &str) {
        let Some(rollout) = self.by_name.remove(name) else {
            return;
        };
        let class = &rollout.spec.class_name;
        if let Some(of_class) = self.by_class.get_mut(class) {
            of_class.remove(&(rollout.spec.revision, name.to_owned()));
            if of_class.is_empty() {
                self.by_class.remove(class);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rollout(class: &str, revision: i64, version: &str) -> SchemaRollout {
        serde_json::from_value(json!({
            "apiVersion": "dbpertenant.dev/v1alpha1",
            "kind": "SchemaRollout",
            "metadata": { "name": format!("{class}-{revision}"), "uid": "u", "resourceVersion": version },
            "spec": {
                "className": class, "revision": revision, "target": { "version": 1, "digest": "d" },
            },
        }))
        .unwrap()
    }

    fn revisions(cache: &RolloutCache, class: &str) -> Vec<i64> {
        let rollouts = cache.of_class(class);
        rollouts.iter().map(|one| one.spec.revision).collect()
    }

    #[test]
    fn the_rollouts_of_a_class_are_ordered_by_revision() {
        let cache = RolloutCache::default();
        cache.apply_event(Event::Init);
        for revision in [10, 9, 2] {
            cache.apply_event(Event::InitApply(rollout("a", revision, "1")));
        }
        cache.apply_event(Event::InitApply(rollout("b", 1, "1")));
        assert_eq!(revisions(&cache, "a"), [0_i64; 0], "the list is incomplete");
        assert_eq!(cache.apply_event(Event::InitDone), ["a", "b"]);
        assert_eq!(revisions(&cache, "a"), [2, 9, 10]);
        assert_eq!(cache.newest("b").unwrap().spec.revision, 1);
        cache.apply_event(Event::Delete(rollout("a", 9, "2")));
        assert_eq!(revisions(&cache, "a"), [2, 10]);
        cache.apply_event(Event::Init);
        assert_eq!(cache.apply_event(Event::InitDone), ["a", "b"]);
        assert_eq!(revisions(&cache, "a"), [0_i64; 0]);
    }

    #[test]
    fn an_event_that_is_older_than_an_own_write_is_ignored() {
        let cache = RolloutCache::default();
        let mut written = rollout("a", 1, "10");
        written.spec.paused = true;
        cache.record_write(written);
        cache.apply_event(Event::Apply(rollout("a", 1, "9")));
        assert!(cache.newest("a").unwrap().spec.paused);
        cache.apply_event(Event::Apply(rollout("a", 1, "11")));
        assert!(!cache.newest("a").unwrap().spec.paused);
    }
}
