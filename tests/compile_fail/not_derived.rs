struct Place(f64, f64);

#[derive(stillheap::typed::Durable)]
struct Root {
    places: Vec<Place>,
}

fn main() {}
