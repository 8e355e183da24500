//! Flags of a process, as Kubernetes' components and etcd take them: `--NAME=VALUE`.

use std::ffi::{OsStr, OsString};

/// Flags by name, each at most once, in the order in which they were given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlagSet(Vec<(String, OsString)>);

impl FlagSet {
    /// A flag's value. `None` also if it is not UTF-8, which a path may not be.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(given, _)| given == name)?.1.to_str()
    }

    /// Sets a flag to this value, whatever it was; it becomes the last one.
    pub fn set(&mut self, name: impl Into<String>, value: impl AsRef<OsStr>) {
        let name = name.into();
        self.remove(&name);
        self.0.push((name, value.as_ref().to_owned()));
    }

    /// Removes a flag.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|(given, _)| given != name);
    }

    /// The arguments for a command.
    pub fn args(&self) -> Vec<OsString> {
        let arg = |(name, value): &(String, OsString)| {
            let mut arg = OsString::from(format!("--{name}="));
            arg.push(value);
            arg
        };
        self.0.iter().map(arg).collect()
    }
}

impl<N: Into<String>, V: AsRef<OsStr>> FromIterator<(N, V)> for FlagSet {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(flags: I) -> Self {
        let mut set = Self::default();
        for (name, value) in flags {
            set.set(name, value);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_flag_is_there_once() {
        let mut flags: FlagSet = [("a", "1"), ("a-b", "2"), ("c", "")].into_iter().collect();
        flags.set("a", "3");
        assert_eq!(flags.args(), ["--a-b=2", "--c=", "--a=3"]);
        assert_eq!((flags.get("a"), flags.get("c"), flags.get("d")), (Some("3"), Some(""), None));
        flags.remove("a");
        assert_eq!(flags.args(), ["--a-b=2", "--c="], "a name that begins like another is another");
    }
}
