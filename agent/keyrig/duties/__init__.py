"""The duties after Commissioning: rules, facts, the plan, and what outcomes entail."""
