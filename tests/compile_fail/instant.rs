#[derive(stillheap::typed::Durable)]
struct Root {
    started: std::time::Instant,
}

fn main() {}
