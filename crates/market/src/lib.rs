//! What offers, orders, bids, deals and receipts are; who fits whom; what usage costs.
