"""What has to become of each order of examples/data/orders.json, by its data."""

COMPLETED = {f"order-{n}" for n in (2001, 2002, 2003, 2005, 2007, 2008, 2010, 2012, 2014, 2019, 2020)}
REFUNDED = {f"order-{n}" for n in (2009, 2015, 2017)}
REJECTED = {f"order-{n}" for n in (2004, 2006, 2011, 2013, 2016, 2018)}
