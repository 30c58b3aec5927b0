//! temporary
use sotto_net::*; use std::time::*;
fn main(){
 let (s,c)=(Identity::generate("server").unwrap(),Identity::generate("client").unwrap());
 let a="127.0.0.1:0".parse().unwrap();
 let se=Endpoint::bind(a,&s,&[("client".into(),c.certificate().clone())],Profile::loopback()).unwrap();
 let ce=Endpoint::bind(a,&c,&[("server".into(),s.certificate().clone())],Profile::loopback()).unwrap();
 let mut lc=ce.connect(se.local_addr(),"server",Duration::from_secs(5)).unwrap();
 let mut ls=se.accept(Duration::from_secs(5)).unwrap();
 lc.send(1,vec![1;200_000_000]).unwrap();
 let t=Instant::now();
 let h=std::thread::spawn(move||{let r=ls.recv(1,200_000_000); (r.map(|v|v.len()),t.elapsed(),ls)});
 if std::env::args().nth(1).is_some(){std::thread::sleep(Duration::from_millis(60));}
 drop(ce);
 println!("dropped {:?}",t.elapsed());
 let (r,e,ls)=h.join().unwrap();
 println!("{e:?} {r:?} server {:?} client {:?}",ls.traffic(), lc.traffic());
}
