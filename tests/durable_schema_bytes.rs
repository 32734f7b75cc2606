//! Stored schemas: the bytes are canonical, and any other bytes are an error.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use proptest::prelude::*;
use stillheap::typed::{Durable, Schema, TypeMismatch};

#[derive(Durable)]
struct Sample {
    list: Vec<Option<Sample>>,
    map: HashMap<String, BTreeMap<u8, [char; 2]>>,
    kind: Kind,
    shared: Rc<u128>,
}

#[derive(Durable)]
#[repr(i8)]
enum Kind {
    Low = -5,
    Next { a: u8 },
}

#[derive(Durable)]
#[repr(C)]
struct Small(u8);

fn sample() -> Vec<u8> {
    Schema::of::<Sample>().to_bytes()
}

#[test]
fn schemas_survive_storage() {
    let schema = Schema::of::<Sample>();
    let read = Schema::from_bytes(&schema.to_bytes()).unwrap();
    assert_eq!(read, schema);
    assert_eq!(read.fingerprint(), schema.fingerprint());
    assert_eq!(read.to_string(), schema.to_string());
    let _ = (Kind::Low, Kind::Next { a: 1 });
}

#[test]
fn the_format_does_not_change_unnoticed() {
    let mut expected = vec![1, 0, 0, 0, 0, 2, 0, 0, 0];
    let name = b"durable_schema_bytes::Small";
    expected.extend([27, 0, 0, 0]);
    expected.extend(name);
    expected.extend([1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    expected.extend([0, 0, 0, 0, 2, 1, 0, 0, 0, 1, 0, 0, 0, b'0']);
    expected.extend([0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]);
    expected.extend([2, 0, 0, 0, b'u', b'8']);
    expected.extend([1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    expected.extend([0, 0, 0, 0, 0]);
    assert_eq!(Schema::of::<Small>().to_bytes(), expected);
}

#[test]
fn every_truncation_is_an_error_that_says_where() {
    let bytes = sample();
    for len in 0..bytes.len() {
        let error = Schema::from_bytes(&bytes[..len]).unwrap_err();
        assert!(error.offset <= len, "{error}");
    }
    let longer = [&bytes[..], &[0]].concat();
    let error = Schema::from_bytes(&longer).unwrap_err();
    assert_eq!((error.expected, &*error.found), ("the end", "1 more bytes"));
}

/// Reads, and whatever is read has to be canonical and usable.
fn read(bytes: &[u8]) {
    let Ok(schema) = Schema::from_bytes(bytes) else {
        return;
    };
    assert_eq!(schema.to_bytes(), bytes);
    let current = Schema::of::<Sample>();
    let _ = (schema.to_string(), schema.check(), schema.link(), schema.interior());
    let mismatch = TypeMismatch::between(&schema, &current);
    assert_eq!(mismatch.differences.is_empty(), schema == current);
    let _ = mismatch.to_string();
}

#[test]
fn every_changed_bit_is_an_error_or_another_schema() {
    let bytes = sample();
    for bit in 0..bytes.len() * 8 {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        read(&changed);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_an_error_or_a_schema(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        read(&bytes);
        read(&[&[1, 0, 0, 0, 0][..], &bytes].concat());
    }

    #[test]
    fn damaged_schemas_are_an_error_or_a_schema(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = sample();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        read(&bytes);
        read(&bytes[..cut.index(bytes.len())]);
    }
}
