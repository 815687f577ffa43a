"""The web page `ip2p app`: editing by instruction for people without a node graph."""
