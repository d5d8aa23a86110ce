use proptest::prelude::*;

use super::{Dictionary, DictionaryError, EntryPath, SyntaxErrorKind};

const U: &str = r#"/* header */
FoamFile
{
    version     2.0;
    format      ascii;
    class       volVectorField;
    object      U;
}
// * * * //

dimensions      [0 1 -1 0 0 0 0];

internalField   uniform (25.75 3.62 0); // inflow

boundaryField
{
    inlet
    {
        type            freestreamVelocity;
        freestreamValue $internalField;
    }

    "wall.*" { type noSlip; value uniform (0 0 0) }
    #includeEtc "caseDicts/setConstraintTypes"
}
"#;

fn read(text: &str) -> Dictionary {
    Dictionary::parse(text).unwrap()
}

fn path(text: &str) -> EntryPath {
    text.parse().unwrap()
}

/// Sets a value, and says what differs: where, what was there, what is there now.
fn edit(text: &str, at: &str, value: &str) -> (usize, String, String) {
    let mut dictionary = read(text);
    dictionary.set(&path(at), value).unwrap();
    let new = String::from_utf8(dictionary.text().to_vec()).unwrap();
    let start = text
        .bytes()
        .zip(new.bytes())
        .take_while(|(a, b)| a == b)
        .count();
    let end = text
        .bytes()
        .rev()
        .zip(new.bytes().rev())
        .take_while(|(a, b)| a == b)
        .count();
    let end = end.min(text.len() - start).min(new.len() - start);
    (
        start,
        text[start..text.len() - end].into(),
        new[start..new.len() - end].into(),
    )
}

#[test]
fn values_are_found_without_uniform_and_dimensions() {
    let u = read(U);
    assert_eq!(u.get("internalField").unwrap(), "(25.75 3.62 0)");
    assert_eq!(u.get("internalField[1][0]").unwrap(), "25.75");
    assert_eq!(
        u.get("boundaryField/inlet/freestreamValue").unwrap(),
        "$internalField"
    );
    assert_eq!(u.get("boundaryField/wall.*/value").unwrap(), "(0 0 0)");
    assert_eq!(u.get("dimensions").unwrap(), "[0 1 -1 0 0 0 0]");
    let transport = read("nu [0 2 -1 0 0 0 0] 0.01;\nmu mu [1 -1 -1 0 0 0 0] 2e-5;\n");
    assert_eq!(transport.get("nu").unwrap(), "0.01");
    assert_eq!(transport.get("mu").unwrap(), "2e-5");
    assert_eq!(u.followers(&path("internalField")), [20]);
    assert_eq!(
        u.includes(),
        [("#includeEtc".into(), "caseDicts/setConstraintTypes".into())]
    );
}

#[test]
fn an_edit_changes_its_value_only() {
    assert_eq!(
        edit(U, "internalField", "(1 0 0)").1,
        "25.75 3.62",
        "uniform and the comment stay"
    );
    assert_eq!(edit(U, "internalField[1][1]", "-7").2, "-7");
    assert_eq!(edit(U, "internalField", "uniform (25.75 9 0)").2, "9");
    assert_eq!(edit("nu [0 2 -1 0 0 0 0] 0.01;", "nu", "0.02").2, "2");
    assert_eq!(
        edit("nu 0.01;", "nu", "[0 2 -1 0 0 0 0] 0.02").2,
        "[0 2 -1 0 0 0 0] 0.02"
    );
    // A keyword of the same name elsewhere is left alone.
    let twice = "a { x 1; }\nb { x 1; }\nx 1;\n";
    assert_eq!(edit(twice, "b/x", "2").0, 17);
    assert_eq!(edit("a;", "a", "on").2, " on");
    assert_eq!(
        edit(
            "2\n(\ninlet { type patch; nFaces 3; }\nrest { type wall; }\n)\n",
            "rest/type",
            "patch"
        )
        .1,
        "wall"
    );
}

#[test]
fn the_last_of_equal_keywords_counts() {
    let twice = read("x 1; s { a 1; b 2; } x 2; s { a 3; }");
    assert_eq!(twice.get("x").unwrap(), "2");
    assert_eq!(twice.get("s/a").unwrap(), "3");
    assert_eq!(twice.get("s/b").unwrap(), "2");
}

#[test]
fn patterns_stand_for_keywords_that_are_not_there() {
    let dictionary = read("\"(U|k).*\" { solver a; } k { solver b; } \".*\" 1; omega 2;");
    let found = |keyword| {
        dictionary
            .lookup(dictionary.entries(), keyword)
            .map(|entry| dictionary.keyword(entry).into_owned())
    };
    assert_eq!(found("k").unwrap(), "k");
    assert_eq!(found("omega").unwrap(), "omega");
    assert_eq!(found("U").unwrap(), ".*", "the last pattern");
    let mut solvers = read("solvers { \"(U|k)\" { tolerance 1; } }");
    let error = solvers.set(&path("solvers/U/tolerance"), "2").unwrap_err();
    assert_eq!(
        error.to_string(),
        "there is no entry solvers/U/tolerance; is solvers/\"(U|k)\"/tolerance meant?"
    );
}

#[test]
fn entries_are_added_where_their_neighbours_are() {
    let mut control =
        read("application simpleFoam;\n\nfunctions\n{\n    a { type x; }\n}\n\nempty\n{\n}\n");
    control
        .insert(&["functions"], "b\n{\n    type y;\n}")
        .unwrap();
    control.insert(&["empty"], "c 1;").unwrap();
    control.insert(&[], "last 2;").unwrap();
    assert_eq!(
        String::from_utf8_lossy(control.text()),
        "application simpleFoam;\n\nfunctions\n{\n    a { type x; }\n    b\n    {\n        type y;\n    }\n}\n\nempty\n{\n\n    c 1;\n}\nlast 2;\n"
    );
    assert!(control.insert(&["nowhere"], "d 1;").is_err());
    assert!(control.insert(&[], "d 1; e 2;").is_err());
}

#[test]
fn what_is_no_value_is_refused() {
    for text in [
        "",
        "1; y 2",
        "(1 2",
        "1 2)",
        "}",
        "1 // and",
        "\"open",
        "/* a",
        "#{ x",
        "{ a 1; } b 2",
    ] {
        let mut dictionary = read("s { x 1; y 2; } z 3;");
        let before = dictionary.clone();
        let error = dictionary.set(&path("s/x"), text).unwrap_err();
        assert!(
            matches!(error, DictionaryError::Value { .. }),
            "{text}: {error}"
        );
        assert_eq!(dictionary, before, "{text}");
    }
    assert!(matches!(
        read("s { x 1; }").set(&path("s"), "1"),
        Err(DictionaryError::IsDictionary { .. })
    ));
    for text in ["", "a//b", "a[x]", "\"a", "/"] {
        assert!(text.parse::<EntryPath>().is_err(), "{text}");
    }
}

#[test]
fn mistakes_are_told_with_their_line() {
    let told = |text: &str| Dictionary::parse(text).unwrap_err().to_string();
    assert_eq!(
        told("a 1;\nb { c 2;\n"),
        "line 2 (byte 7): the '{' that is opened here is never closed"
    );
    assert_eq!(
        told("a 1;\n}"),
        "line 2 (byte 5): there is a '}' here that closes nothing"
    );
    assert_eq!(
        told("a 1"),
        "line 1 (byte 0): the value of the entry that begins here is not ended by ;"
    );
    assert_eq!(
        told("a (1 2;"),
        "line 1 (byte 2): the '(' that is opened here is never closed"
    );
    assert_eq!(
        told("a \"b\n\";"),
        "line 1 (byte 2): the string that begins here has no closing quote on its line"
    );
    let deep = "a {".repeat(100);
    assert_eq!(
        Dictionary::parse(deep).unwrap_err().kind,
        SyntaxErrorKind::TooDeep
    );
    let binary = b"a nonuniform List<scalar> 2(\x01\x00\x00\x02);".to_vec();
    assert_eq!(
        Dictionary::parse(binary).unwrap_err().kind,
        SyntaxErrorKind::Binary
    );
}

#[test]
fn code_macros_and_lists_are_read() {
    let text = r#"
#inputMode merge
#if 1
a $b.c;
#endif
x #calc "2*$a";
y #codeStream { code #{ os << "};"; #}; };
${z} 1;
$defaults;
blocks ( hex (0 1 2 3) (20 20 1) simpleGrading (1 1 1) );
div((nuEff*dev2(T(grad(U))))) Gauss linear;
same 4{0.5};
r #eval{ $r0*cos(degToRad($t   )) };
f nonuniform List<vector> 2((0 0 0) (1 1 1));
#includeFunc residuals(p, U)
table ((0 1) (1 2));
parent { $..defaults; ${.x}; y 1 }
"#;
    let dictionary = read(text);
    assert_eq!(dictionary.get("same").unwrap(), "4{0.5}");
    assert_eq!(dictionary.get("blocks[0][2][1]").unwrap(), "20");
    assert_eq!(dictionary.get("table[0][1][0]").unwrap(), "1");
    assert_eq!(dictionary.get("parent/y").unwrap(), "1");
    assert_eq!(
        dictionary.get("div((nuEff*dev2(T(grad(U)))))").unwrap(),
        "Gauss linear"
    );
    assert_eq!(
        dictionary.includes(),
        [("#includeFunc".into(), "residuals".into())]
    );
    assert!(dictionary.leaves().iter().all(|leaf| leaf.line > 1));
}

proptest! {
    /// Whatever is read is kept; whatever is set is there, and setting back gives the first bytes.
    #[test]
    fn an_edit_and_its_undoing_leave_no_trace(
        number in -1e6f64..1e6,
        spaces in "[ \t\n]{0,3}",
        comment in "[a-z ;{}()]{0,10}",
    ) {
        let text = format!("a{{ b 1; }} // {comment}\ns\n{{\n x{spaces} uniform\t( 1 2\n 3 )/*{comment}*/;\n}} c \"{{\";\n");
        let first = read(&text);
        let mut dictionary = first.clone();
        for at in ["s/x", "s/x[1][2]", "a/b", "c"] {
            let before = dictionary.value(&path(at)).unwrap().into_owned();
            dictionary.set(&path(at), &number.to_string()).unwrap();
            let now = dictionary.get(at).unwrap().into_owned();
            prop_assert_eq!(now, number.to_string());
            dictionary.set(&path(at), &before).unwrap();
            prop_assert_eq!(dictionary.text(), first.text());
        }
    }
}
