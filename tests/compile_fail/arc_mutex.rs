use std::sync::{Arc, Mutex};

#[derive(stillheap::typed::Durable)]
struct Root {
    count: Arc<Mutex<u32>>,
}

fn main() {}
