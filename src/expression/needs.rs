//! Needs: which members of a variable an expression can come to look at, so that nothing else is built.

use std::collections::BTreeMap;

use super::variables::Names;

/// What is needed of a value: all of it, some members, or, with neither, no more than that it is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    whole: bool,
    /// Whether it is asked if it is there at all.
    tested: bool,
    members: BTreeMap<String, Needs>,
}

/// How an expression asks for a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// It looks at the value.
    Looked,
    /// `has(a.b)`: it asks whether the member is there, and no more.
    Tested,
    /// `a.?b`: it looks at the value, and copes where any member on the way is not there.
    Optional,
}

impl Needs {
    /// Adds the member at `path`: all of it if it is looked at, else that it is there.
    pub(super) fn add(&mut self, path: &[String], asked: Asked) {
        self.tested |= asked == Asked::Optional;
        match path.split_first() {
            None => {
                self.whole |= asked != Asked::Tested;
                self.tested |= asked == Asked::Tested;
            }
            Some((first, rest)) => self.members.entry(first.clone()).or_default().add(rest, asked),
        }
    }

    /// The members that are looked at without asking whether they are there. Where one is not, null stands in its place,
    /// so that `view.error == 'x'` is false for a call without an error, and no failure.
    pub(super) fn expected(&self) -> impl Iterator<Item = (&str, &Self)> {
        let members = if self.whole { None } else { Some(&self.members) };
        members.into_iter().flatten().filter(|(_, needs)| !needs.tested).map(|(name, needs)| (name.as_str(), needs))
    }

    /// Adds what another expression needs.
    pub(super) fn merge(&mut self, other: &Self) {
        self.whole |= other.whole;
        self.tested |= other.tested;
        for (name, needs) in &other.members {
            self.members.entry(name.clone()).or_default().merge(needs);
        }
    }

    /// What is needed of a member; none if it is not looked for.
    pub(super) fn of(&self, name: &str) -> Option<&Self> {
        if self.whole { Some(self) } else { self.members.get(name) }
    }

    /// The names under which the member `key` is asked for, each with what is needed of it.
    pub(super) fn asked_as<'n>(&'n self, key: &'n str, names: Names) -> impl Iterator<Item = (&'n str, &'n Self)> {
        let exact = self.of(key).map(|needs| (key, needs));
        let members = (names == Names::Folded && !self.whole).then_some(&self.members);
        let folded = members
            .into_iter()
            .flatten()
            .filter(move |(name, _)| name.as_str() != key && name.eq_ignore_ascii_case(key));
        exact.into_iter().chain(folded.map(|(name, needs)| (name.as_str(), needs)))
    }

    /// Whether the value itself is looked at, and not only members of it.
    pub(super) fn is_whole(&self) -> bool {
        self.whole
    }

    /// Whether it is asked if it is there at all.
    pub(super) fn is_tested(&self) -> bool {
        self.tested
    }

    /// The paths, for tests: `*` where all of a value is needed, `?` where only that it is there.
    #[cfg(test)]
    pub(crate) fn paths(&self) -> Vec<String> {
        if self.whole || self.members.is_empty() {
            return vec![if self.whole { "*" } else { "?" }.to_owned()];
        }
        let below = |(name, needs): (&String, &Self)| {
            needs.paths().into_iter().map(|path| format!("{name}.{path}")).collect::<Vec<_>>()
        };
        self.members.iter().flat_map(below).collect()
    }
}
