//! The text of a recipe to a [`Recipe`].

use std::path::PathBuf;

use super::{Deb, Part, Recipe, Trial};
use crate::yaml::{self, Fields, Mistake, Node, Source, Value};

type Result<T> = std::result::Result<T, Box<Mistake>>;

/// The most package files and packages of a recipe.
const MOST: usize = 1000;

pub(super) fn parse(text: &str, file: &str) -> Result<Recipe> {
    let mut fields = Fields::new(yaml::parse(text, file)?, "a recipe", text, file)?;
    let source = fields.source();
    let mut recipe = Recipe {
        name: fields.required_text("recipe")?,
        title: fields.required_text("title")?,
        author: fields.required_text("author")?,
        license: fields.text("license")?,
        version: fields.text("version")?,
        platform: fields.text("platform")?,
        debs: list(&mut fields, "debs")?
            .into_iter()
            .map(|node| deb(node, source))
            .collect::<Result<_>>()?,
        search: paths(&mut fields, "search")?,
        moves: pairs(&mut fields, "moves")?,
        environment: fields.text_map("environment")?,
        parts: Vec::new(),
    };
    for node in list(&mut fields, "packages")? {
        let part = part(node, source)?;
        add(&mut recipe, part, source, &fields)?;
    }
    for node in list(&mut fields, "solvers")? {
        let part = solver(&recipe, node, source)?;
        add(&mut recipe, part, source, &fields)?;
    }
    fields.finish(&mut Vec::new());
    Ok(recipe)
}

/// What a package requires comes before it, so that none is needed for itself.
fn add(recipe: &mut Recipe, part: Part, source: Source<'_>, fields: &Fields<'_>) -> Result<()> {
    let mistake = |text: String| Err(source.mistake(fields.place(), text));
    if !crate::is_valid_name(&part.name) || recipe.part(&part.name).is_some() {
        return mistake(format!("`{}` is no name for one more package", part.name));
    }
    if let Some(missing) = part.require.iter().find(|name| recipe.part(name).is_none()) {
        return mistake(format!(
            "{} requires {missing}, which does not come before it",
            part.name
        ));
    }
    recipe.parts.push(part);
    Ok(())
}

fn list(fields: &mut Fields<'_>, key: &'static str) -> Result<Vec<Node>> {
    let source = fields.source();
    match fields.take(key) {
        None => Ok(Vec::new()),
        Some(Node {
            value: Value::List(items),
            ..
        }) if items.len() <= MOST => Ok(items),
        Some(node) => Err(source.mistake(
            node.place,
            format!("`{key}` has to be a list of at most {MOST}"),
        )),
    }
}

fn paths(fields: &mut Fields<'_>, key: &'static str) -> Result<Vec<PathBuf>> {
    let texts = fields.texts(key)?;
    Ok(texts.into_iter().map(PathBuf::from).collect())
}

fn pairs(fields: &mut Fields<'_>, key: &'static str) -> Result<Vec<(PathBuf, PathBuf)>> {
    let pairs = fields.text_map(key)?;
    Ok(pairs
        .into_iter()
        .map(|(from, to)| (from.into(), to.into()))
        .collect())
}

fn deb(node: Node, source: Source<'_>) -> Result<Deb> {
    let place = node.place;
    let mut fields = Fields::new(node, "a package file", source.text, source.file)?;
    let deb = Deb {
        name: fields.required_text("name")?,
        version: fields.required_text("version")?,
        size_bytes: fields
            .number("size_bytes", 1, u32::MAX)?
            .unwrap_or_default()
            .into(),
        sha256: fields.required_text("sha256")?,
        newer: fields.boolean("newer")?.unwrap_or(false),
    };
    let is_digest = deb.sha256.len() == 64 && deb.sha256.bytes().all(|it| it.is_ascii_hexdigit());
    if !is_digest {
        return Err(source.mistake(place, format!("`{}` is no SHA-256", deb.sha256)));
    }
    fields.finish(&mut Vec::new());
    Ok(deb)
}

fn part(node: Node, source: Source<'_>) -> Result<Part> {
    let mut fields = Fields::new(node, "a package", source.text, source.file)?;
    let folder = PathBuf::from(fields.text("plugin_folder")?.unwrap_or_default());
    let plugins = fields.texts("plugins")?;
    let part = Part {
        name: fields.required_text("name")?,
        title: fields.required_text("title")?,
        require: fields.texts("require")?,
        programs: fields.texts("programs")?,
        libraries: fields.texts("libraries")?,
        plugins: plugins.iter().map(|name| folder.join(name)).collect(),
        files: paths(&mut fields, "files")?,
        links: pairs(&mut fields, "links")?,
        search: paths(&mut fields, "search")?,
        is_solver: false,
        about: None,
        test: match fields.take("test") {
            Some(node) => trial(node, source)?,
            None => return Err(fields.missing("test")),
        },
    };
    fields.finish(&mut Vec::new());
    Ok(part)
}

fn trial(node: Node, source: Source<'_>) -> Result<Trial> {
    let mut fields = Fields::new(node, "a test", source.text, source.file)?;
    let trial = Trial {
        command: fields.required_text("command")?,
        prints: fields.required_text("prints")?,
    };
    fields.finish(&mut Vec::new());
    Ok(trial)
}

/// A solver is one program, and named after it.
fn solver(recipe: &Recipe, node: Node, source: Source<'_>) -> Result<Part> {
    let mut fields = Fields::new(node, "a solver", source.text, source.file)?;
    let program = fields.required_text("solver")?;
    let (family, version) = recipe.name.split_once('-').unwrap_or((&recipe.name, "1"));
    let part = Part {
        name: format!("{family}.{}-{version}", program.to_ascii_lowercase()),
        title: format!("{}: {program}", recipe.title),
        require: fields.texts("require")?,
        libraries: Vec::new(),
        plugins: Vec::new(),
        files: Vec::new(),
        links: Vec::new(),
        search: Vec::new(),
        is_solver: true,
        about: fields.text("about")?,
        test: Trial {
            command: format!("/usr/bin/{program} -help"),
            prints: format!("Usage: {program} "),
        },
        programs: vec![program],
    };
    fields.finish(&mut Vec::new());
    Ok(part)
}
