//! `CycloneDX` 1.6 as JSON (`bom-1.6.schema.json` of the specification).

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde_json::{Value, json};

use super::{
    License, SbomFile, SbomInput, SbomKind, SbomPackage, TOOL, TOOL_VERSION, created, is_location,
};

const IMAGE: &str = "image";

pub(super) fn write(input: &SbomInput, out: &mut impl Write) -> io::Result<()> {
    let mut image = json!({"bom-ref": IMAGE, "name": input.name, "type": "application"});
    put_common(&mut image, input.version.as_ref(), input.license.as_deref());
    if let Some(digest) = &input.image_blake3 {
        image["hashes"] = json!([hash("BLAKE3", digest)]);
    }
    let head = json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "metadata": {
            "component": image,
            "timestamp": created(input),
            "tools": {"components": [
                {"name": TOOL, "type": "application", "version": TOOL_VERSION},
            ]},
        },
        "serialNumber": format!("urn:uuid:{}", super::uuid(SbomKind::CycloneDx, input)),
        "specVersion": "1.6",
        "version": 1,
    });
    super::open(out, &head)?;
    let packages = input.packages.iter().enumerate();
    let packages = packages.map(|(number, package)| component(number, package));
    let files = input.files.iter().map(file_component);
    super::list(out, "components", packages.chain(files))?;
    super::list(out, "dependencies", dependencies(input))?;
    out.write_all(b"}\n")
}

fn reference(number: usize) -> String {
    format!("package-{}", number + 1)
}

fn hash(algorithm: &str, content: &str) -> Value {
    json!({"alg": algorithm, "content": content})
}

fn put_common(component: &mut Value, version: Option<&String>, license: Option<&str>) {
    if let Some(version) = version {
        component["version"] = json!(version);
    }
    match license.map(License::of) {
        None => {}
        Some(License::Expression(expression)) => {
            component["licenses"] = json!([{"expression": expression}]);
        }
        Some(License::Words(words)) => {
            component["licenses"] = json!([{"license": {"name": words}}]);
        }
    }
}

fn component(number: usize, package: &SbomPackage) -> Value {
    let mut component = json!({
        "bom-ref": reference(number),
        "name": package.name,
        "type": "library",
    });
    put_common(
        &mut component,
        package.version.as_ref(),
        package.license.as_deref(),
    );
    let hashes = [("SHA-256", &package.sha256), ("BLAKE3", &package.blake3)];
    let hashes =
        hashes.map(|(algorithm, value)| value.as_ref().map(|value| hash(algorithm, value)));
    let hashes: Vec<Value> = hashes.into_iter().flatten().collect();
    if !hashes.is_empty() {
        component["hashes"] = json!(hashes);
    }
    if let Some(purl) = &package.purl {
        component["purl"] = json!(purl);
    }
    match &package.origin {
        Some(origin) if is_location(origin) => {
            component["externalReferences"] = json!([{"type": "distribution", "url": origin}]);
        }
        Some(origin) => {
            component["properties"] = json!([{"name": "windlass:origin", "value": origin}]);
        }
        None => {}
    }
    component
}

fn file_component(file: &SbomFile) -> Value {
    let mut component = json!({
        "hashes": [hash("SHA-1", &file.sha1), hash("SHA-256", &file.sha256)],
        "name": file.path,
        "type": "file",
    });
    if let Some(package) = &file.package {
        component["properties"] = json!([{"name": "windlass:package", "value": package}]);
    }
    component
}

/// What each package is made of, and the image of all that is not a part of another.
fn dependencies(input: &SbomInput) -> impl Iterator<Item = Value> {
    let mut parts: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    let mut of_image = Vec::new();
    for (number, package) in input.packages.iter().enumerate() {
        let whole = package.part_of.as_ref().and_then(|name| {
            let mut packages = input.packages.iter();
            packages.position(|package| package.name == *name)
        });
        match whole.filter(|whole| *whole != number) {
            Some(whole) => parts.entry(whole).or_default().push(reference(number)),
            None => of_image.push(reference(number)),
        }
    }
    let image = json!({"dependsOn": of_image, "ref": IMAGE});
    let packages = (0..input.packages.len()).map(move |number| {
        let parts = parts.remove(&number).unwrap_or_default();
        json!({"dependsOn": parts, "ref": reference(number)})
    });
    std::iter::once(image).chain(packages)
}
