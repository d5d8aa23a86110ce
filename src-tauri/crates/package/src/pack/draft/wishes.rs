//! What the user wants in or out; and a draft becomes a plan.

use std::fs;
use std::path::{Component, Path};

use super::{Description, Draft, layout_of};
use crate::closure::{self, Elf};
use crate::error::IoContext;
use crate::pack::{Kind, PackOptions, Plan};
use crate::{Error, Finding, Watch};

impl Draft {
    /// Takes the user's wishes in, and makes a plan of it all.
    pub fn finish(
        mut self,
        kind: Kind,
        description: Description,
        options: &PackOptions,
        watch: &mut dyn Watch,
    ) -> Result<Plan, Error> {
        self.add(options, watch)?;
        self.leave_out(&options.leave_out);
        self.findings
            .sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        let mut seen = std::collections::HashSet::new();
        self.findings.retain(|finding| seen.insert(finding.clone()));
        Ok(Plan {
            kind,
            name: description.name,
            version: description.version,
            title: description.title,
            entries: self.entries.into_values().collect(),
            findings: self.findings,
            package_yaml: description.package_yaml,
            run_yaml: description.run_yaml,
            compile: self.compile,
            scratch: self.scratch,
        })
    }

    fn add(&mut self, options: &PackOptions, watch: &mut dyn Watch) -> Result<(), Error> {
        const REASON: &str = "because you added it";
        for addition in &options.add {
            let guest = Path::new("/").join(&addition.guest);
            let metadata = fs::metadata(&addition.host).context("read", &addition.host)?;
            if metadata.is_dir() {
                self.directory(&guest, REASON)?;
                self.tree(&addition.host, &guest, REASON, false, &|_| true, watch)?;
                continue;
            }
            if let Ok(elf) = Elf::open(&addition.host)
                && !elf.is_static()
            {
                let found = closure::closure(std::slice::from_ref(&addition.host))?;
                let mut needed = found.clone();
                needed.objects.retain(|object| {
                    object.because != closure::Because::Asked && !self.has_library(&object.name)
                });
                self.closure(&needed, layout_of(options.guest))?;
            }
            self.file(&addition.host, &guest, REASON)?;
        }
        Ok(())
    }

    /// Whether a library of this name is there already, wherever it lies.
    fn has_library(&self, name: &str) -> bool {
        self.entries
            .values()
            .any(|entry| entry.guest.file_name().is_some_and(|other| other == name))
    }

    fn leave_out(&mut self, patterns: &[String]) {
        for pattern in patterns {
            for entry in self.entries.values_mut() {
                if !entry.left && is_beneath(pattern, &entry.guest) {
                    entry.left = true;
                    if entry.required {
                        self.findings.push(
                            Finding::warning(format!(
                                "it is left out, and was there {}",
                                entry.reason
                            ))
                            .at(entry.guest.to_string_lossy())
                            .remedy("Take it in again, unless another package has it."),
                        );
                    }
                }
            }
        }
    }
}

/// Whether a path is what a pattern names, or beneath it. Stars stand for parts of names.
fn is_beneath(pattern: &str, guest: &Path) -> bool {
    let mut names = guest.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.as_encoded_bytes()),
        _ => None,
    });
    let mut wanted = pattern
        .split('/')
        .filter(|name| !name.is_empty())
        .peekable();
    wanted.peek().is_some()
        && wanted.all(|wanted| {
            names
                .next()
                .is_some_and(|name| crate::ignore::matches(wanted.as_bytes(), name))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_by_a_pattern() {
        let cases = [
            ("/usr/lib", "/usr/lib/a.so", true),
            ("usr/lib/", "/usr/lib", true),
            ("/usr/*/a*", "/usr/lib/abc/x", true),
            ("/usr/lib", "/usr/library", false),
            ("/", "/usr", false),
            ("", "/usr", false),
            ("/usr/lib/a.so/b", "/usr/lib/a.so", false),
        ];
        for (pattern, path, is_out) in cases {
            assert_eq!(
                is_beneath(pattern, Path::new(path)),
                is_out,
                "{pattern} {path}"
            );
        }
    }
}
