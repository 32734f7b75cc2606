#[derive(stillheap::typed::Durable)]
struct Root {
    worker: std::thread::JoinHandle<()>,
}

fn main() {}
