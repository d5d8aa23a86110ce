//! SPDX 2.3 as JSON (`spdx-schema.json` of the specification).

use std::collections::HashMap;
use std::io::{self, Write};

use serde_json::{Value, json};
use sha1::{Digest as _, Sha1};

use super::{
    License, SbomFile, SbomInput, SbomKind, SbomPackage, TOOL, TOOL_VERSION, created, hex,
    is_location,
};

const NOTHING_SAID: &str = "NOASSERTION";
const IMAGE: &str = "SPDXRef-Image";

pub(super) fn write(input: &SbomInput, out: &mut impl Write) -> io::Result<()> {
    let mut licenses = Licenses::default();
    let packages = packages(input, &mut licenses);
    let uuid = super::uuid(SbomKind::Spdx, input);
    let name: String = input
        .name
        .chars()
        .map(|letter| {
            let is_plain = letter.is_ascii_alphanumeric() || "-._".contains(letter);
            if is_plain { letter } else { '-' }
        })
        .collect();
    let head = json!({
        "SPDXID": "SPDXRef-DOCUMENT",
        "creationInfo": {
            "created": created(input),
            "creators": [format!("Tool: {TOOL}-{TOOL_VERSION}")],
        },
        "dataLicense": "CC0-1.0",
        "documentDescribes": [IMAGE],
        "documentNamespace": format!("https://spdx.org/spdxdocs/{name}-{uuid}"),
        "name": input.name,
        "spdxVersion": "SPDX-2.3",
    });
    super::open(out, &head)?;
    if !licenses.0.is_empty() {
        super::list(out, "hasExtractedLicensingInfos", licenses.extracted())?;
    }
    super::list(out, "packages", packages.into_iter())?;
    let files = input.files.iter().enumerate();
    super::list(
        out,
        "files",
        files.map(|(number, file)| described(number, file)),
    )?;
    super::list(out, "relationships", relationships(input))?;
    out.write_all(b"}\n")
}

/// The licenses that SPDX does not know, by their words.
#[derive(Default)]
struct Licenses(Vec<String>);

impl Licenses {
    fn declared(&mut self, license: Option<&str>) -> String {
        match license.map(License::of) {
            None => NOTHING_SAID.to_owned(),
            Some(License::Expression(expression)) => expression,
            Some(License::Words(words)) => {
                let known = self.0.iter().position(|known| known == words);
                let number = known.unwrap_or_else(|| {
                    self.0.push(words.to_owned());
                    self.0.len() - 1
                });
                format!("LicenseRef-{}", number + 1)
            }
        }
    }

    fn extracted(&self) -> impl Iterator<Item = Value> {
        self.0.iter().zip(1..).map(|(words, number)| {
            json!({"extractedText": words, "licenseId": format!("LicenseRef-{number}")})
        })
    }
}

fn package_id(number: usize) -> String {
    format!("SPDXRef-Package-{}", number + 1)
}

fn file_id(number: usize) -> String {
    format!("SPDXRef-File-{}", number + 1)
}

/// As words: the tools of SPDX expect of BLAKE3 256 digits, where it has as many bits.
fn put_blake3(package: &mut Value, digest: Option<&String>) {
    if let Some(digest) = digest {
        package["comment"] = json!(format!("BLAKE3: {digest}"));
    }
}

fn packages(input: &SbomInput, licenses: &mut Licenses) -> Vec<Value> {
    let mut image = json!({
        "SPDXID": IMAGE,
        "copyrightText": NOTHING_SAID,
        "downloadLocation": NOTHING_SAID,
        "filesAnalyzed": !input.files.is_empty(),
        "licenseConcluded": NOTHING_SAID,
        "licenseDeclared": licenses.declared(input.license.as_deref()),
        "name": input.name,
    });
    if let Some(version) = &input.version {
        image["versionInfo"] = json!(version);
    }
    put_blake3(&mut image, input.image_blake3.as_ref());
    if !input.files.is_empty() {
        let code = verification_code(&input.files);
        image["packageVerificationCode"] = json!({"packageVerificationCodeValue": code});
    }
    let packages = input.packages.iter().enumerate();
    let packages = packages.map(|(number, package)| described_package(number, package, licenses));
    std::iter::once(image).chain(packages).collect()
}

fn described_package(number: usize, package: &SbomPackage, licenses: &mut Licenses) -> Value {
    let origin = package
        .origin
        .as_deref()
        .filter(|origin| is_location(origin));
    let mut described = json!({
        "SPDXID": package_id(number),
        "copyrightText": NOTHING_SAID,
        "downloadLocation": origin.unwrap_or(NOTHING_SAID),
        "filesAnalyzed": false,
        "licenseConcluded": NOTHING_SAID,
        "licenseDeclared": licenses.declared(package.license.as_deref()),
        "name": package.name,
    });
    if let Some(version) = &package.version {
        described["versionInfo"] = json!(version);
    }
    if let (Some(origin), None) = (&package.origin, origin) {
        described["sourceInfo"] = json!(origin);
    }
    if let Some(sha256) = &package.sha256 {
        described["checksums"] = json!([{"algorithm": "SHA256", "checksumValue": sha256}]);
    }
    put_blake3(&mut described, package.blake3.as_ref());
    if let Some(purl) = &package.purl {
        described["externalRefs"] = json!([{
            "referenceCategory": "PACKAGE-MANAGER",
            "referenceLocator": purl,
            "referenceType": "purl",
        }]);
    }
    described
}

fn described(number: usize, file: &SbomFile) -> Value {
    let mut described = json!({
        "SPDXID": file_id(number),
        "checksums": [
            {"algorithm": "SHA1", "checksumValue": file.sha1},
            {"algorithm": "SHA256", "checksumValue": file.sha256},
        ],
        "copyrightText": NOTHING_SAID,
        "fileName": format!(".{}", file.path),
        "licenseConcluded": NOTHING_SAID,
    });
    if let Some(package) = &file.package {
        described["comment"] = json!(format!("from package {package}"));
    }
    described
}

/// The digest of the digests of all files, as clause 7.9 has it.
fn verification_code(files: &[SbomFile]) -> String {
    let mut sums: Vec<&str> = files.iter().map(|file| file.sha1.as_str()).collect();
    sums.sort_unstable();
    let mut hasher = Sha1::new();
    for sum in sums {
        hasher.update(sum.as_bytes());
    }
    hex(&hasher.finalize())
}

fn relationships(input: &SbomInput) -> impl Iterator<Item = Value> {
    let by_name: HashMap<&str, usize> = input
        .packages
        .iter()
        .enumerate()
        .rev()
        .map(|(number, package)| (package.name.as_str(), number))
        .collect();
    let contains = |whole: &str, part: &str| {
        json!({
            "relatedSpdxElement": part,
            "relationshipType": "CONTAINS",
            "spdxElementId": whole,
        })
    };
    let document = json!({
        "relatedSpdxElement": IMAGE,
        "relationshipType": "DESCRIBES",
        "spdxElementId": "SPDXRef-DOCUMENT",
    });
    let packages = input
        .packages
        .iter()
        .enumerate()
        .map(move |(number, package)| {
            let whole = package
                .part_of
                .as_deref()
                .and_then(|name| by_name.get(name));
            let whole = whole.filter(|&&whole| whole != number);
            let whole = whole.map_or(IMAGE.to_owned(), |&whole| package_id(whole));
            contains(&whole, &package_id(number))
        });
    let files = (0..input.files.len()).map(move |number| contains(IMAGE, &file_id(number)));
    std::iter::once(document).chain(packages).chain(files)
}
