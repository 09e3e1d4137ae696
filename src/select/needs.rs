//! Needs: which members of a variable an expression can come to look at, so that nothing else is built.

use std::collections::BTreeMap;

/// What is needed of a value: all of it, some members, or, with neither, no more than that it is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Needs {
    whole: bool,
    members: BTreeMap<String, Needs>,
}

impl Needs {
    /// Adds the member at `path`: all of it if it is looked at, else that it is there.
    pub(super) fn add(&mut self, path: &[String], looked_at: bool) {
        match path.split_first() {
            None => self.whole |= looked_at,
            Some((first, rest)) => self.members.entry(first.clone()).or_default().add(rest, looked_at),
        }
    }

    /// Adds what another expression needs.
    pub(super) fn merge(&mut self, other: &Self) {
        self.whole |= other.whole;
        for (name, needs) in &other.members {
            self.members.entry(name.clone()).or_default().merge(needs);
        }
    }

    /// What is needed of a member; none if it is not looked for.
    pub(super) fn of(&self, name: &str) -> Option<&Self> {
        if self.whole { Some(self) } else { self.members.get(name) }
    }

    /// Whether the value itself is looked at, and not only members of it.
    pub(super) fn is_whole(&self) -> bool {
        self.whole
    }

    /// The paths, for tests: `*` where all of a value is needed, `?` where only that it is there.
    #[cfg(test)]
    pub(super) fn paths(&self) -> Vec<String> {
        if self.whole || self.members.is_empty() {
            return vec![if self.whole { "*" } else { "?" }.to_owned()];
        }
        let below = |(name, needs): (&String, &Self)| {
            needs.paths().into_iter().map(|path| format!("{name}.{path}")).collect::<Vec<_>>()
        };
        self.members.iter().flat_map(below).collect()
    }
}
