//! The environment that systemd gives the service, as far as its unit file is readable. A key in the unit is not in the
//! shell in which somebody runs `check`.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Folders searched for units; an administrator's own come first.
pub(in crate::cli) const FOLDERS: [&str; 3] = ["/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"];
/// The unit's name in the README.
const NAME: &str = "workmate.service";

/// The environment of the unit that serves a configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::cli) struct Unit {
    /// Its environment variables.
    pub(in crate::cli) variables: BTreeMap<String, String>,
    /// Environment files that we cannot read.
    pub(in crate::cli) unreadable: Vec<PathBuf>,
    /// The user that it runs as.
    pub(in crate::cli) user: Option<String>,
    /// Its environment files, readable or not.
    pub(in crate::cli) files: Vec<PathBuf>,
    /// The variables that stand in the unit itself, which everybody may read.
    pub(in crate::cli) shown: Vec<String>,
    /// Its limit of file descriptors (`LimitNOFILE=`); a start raises the soft one to the hard one.
    pub(in crate::cli) descriptors: Option<u64>,
}

impl Unit {
    /// Reads the unit that serves `config` from the first folder that has one.
    pub(in crate::cli) fn of(folders: &[&Path], config: &Path) -> Option<Self> {
        let config = config.canonicalize().unwrap_or_else(|_| config.to_owned());
        folders.iter().find_map(|folder| {
            let text = with_drop_ins(folder)?;
            let is_meant = text.contains(&*config.to_string_lossy()) || text.contains("WORKMATE_CONFIG");
            is_meant.then(|| Self::read(&text))
        })
    }

    fn read(text: &str) -> Self {
        let mut unit = Self::default();
        for line in text.lines().map(str::trim) {
            let Some((key, value)) = line.split_once('=') else { continue };
            match (key.trim(), value.trim()) {
                ("User", user) => unit.user = Some(user.to_owned()).filter(|user| !user.is_empty()),
                ("Environment", given) => {
                    let given: Vec<_> = words(given).iter().filter_map(|word| variable(word)).collect();
                    unit.shown.extend(given.iter().map(|(name, _)| name.clone()));
                    unit.variables.extend(given);
                }
                ("LimitNOFILE", limit) => unit.descriptors = descriptors(limit),
                ("EnvironmentFile", file) => unit.read_file(Path::new(file.trim_start_matches('-'))),
                _ => {}
            }
        }
        unit
    }

    fn read_file(&mut self, file: &Path) {
        self.files.push(file.to_owned());
        match fs::read_to_string(file) {
            Ok(text) => {
                let lines = text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';']));
                self.variables.extend(lines.filter_map(|line| {
                    let (name, value) = variable(line)?;
                    Some((name, unquoted(&value).to_owned()))
                }));
            }
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => self.unreadable.push(file.to_owned()),
            Err(_) => {}
        }
    }
}

/// Reads the hard limit of `LimitNOFILE=`: a number, two with a colon between, or `infinity`.
fn descriptors(limit: &str) -> Option<u64> {
    let hard = limit.rsplit(':').next()?.trim();
    if hard == "infinity" { Some(u64::MAX) } else { hard.parse().ok() }
}

fn with_drop_ins(folder: &Path) -> Option<String> {
    let mut text = fs::read_to_string(folder.join(NAME)).ok()?;
    let mut more: Vec<PathBuf> = fs::read_dir(folder.join(format!("{NAME}.d")))
        .map(|entries| entries.filter_map(Result::ok).map(|entry| entry.path()).collect())
        .unwrap_or_default();
    more.retain(|path| path.extension().is_some_and(|extension| extension == "conf"));
    more.sort();
    for path in more {
        text.push('\n');
        text.push_str(&fs::read_to_string(path).unwrap_or_default());
    }
    Some(text)
}

fn variable(text: &str) -> Option<(String, String)> {
    let (name, value) = text.split_once('=')?;
    let name = name.trim();
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    is_name.then(|| (name.to_owned(), value.trim().to_owned()))
}

/// Splits at unquoted whitespace.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    for char in text.chars() {
        match (char, quote) {
            ('"' | '\'', None) => quote = Some(char),
            (char, Some(open)) if char == open => quote = None,
            (char, None) if char.is_whitespace() => words.push(std::mem::take(&mut word)),
            (char, _) => word.push(char),
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

fn unquoted(text: &str) -> &str {
    let quoted = ['"', '\''].into_iter().find_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote));
    quoted.unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn op3_the_unit_s_environment_is_read_with_its_files_and_drop_ins() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = |name: &str| dir.path().join(name);
        fs::write(path("key.env"), "# a comment\nANTHROPIC_API_KEY=\"sk-ant-1\"\n;x=y\nnot a line\n").expect("written");
        fs::create_dir(path("workmate.service.d")).expect("made");
        fs::write(path("workmate.service.d/a.conf"), "[Service]\nEnvironment=A=1 \"B=2 3\"\n").expect("written");
        fs::write(path("workmate.service.d/notes.txt"), "Environment=C=1\n").expect("written");
        let key = path("key.env");
        let text = format!(
            "[Service]\nUser=workmate\nLimitNOFILE=1024:4096\nExecStart=/usr/local/bin/workmate serve --config /etc/w.yaml\n\
             EnvironmentFile=-{}\nEnvironmentFile=/nonexistent\n",
            key.display()
        );
        fs::write(path(NAME), text).expect("written");

        let unit = Unit::of(&[Path::new("/nonexistent"), dir.path()], Path::new("/etc/w.yaml")).expect("there is one");
        let variables = [("A", "1"), ("ANTHROPIC_API_KEY", "sk-ant-1"), ("B", "2 3")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let expected = Unit {
            variables,
            unreadable: Vec::new(),
            user: Some("workmate".to_owned()),
            files: vec![key, "/nonexistent".into()],
            shown: ["A", "B"].map(str::to_owned).into(),
            descriptors: Some(4096),
        };
        assert_eq!(unit, expected);
        assert_eq!([descriptors("infinity"), descriptors("x")], [Some(u64::MAX), None]);
        assert_eq!(Unit::of(&[dir.path()], Path::new("/etc/another.yaml")), None, "it serves another configuration");
    }
}
