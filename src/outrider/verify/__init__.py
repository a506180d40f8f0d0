"""The rules by which drafts are accepted: pure functions of trees and the target's choices."""
