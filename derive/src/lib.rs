//! `#[derive(Durable)]` for stillheap.
