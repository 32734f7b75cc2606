trait Shape {}

#[derive(stillheap::typed::Durable)]
struct Root {
    shapes: Vec<Box<dyn Shape>>,
}

fn main() {}
